"""Options that every command that trains shares: how much of which machine it takes."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_DEVICE = "Where to train; under torchrun each process takes the GPU of its local rank."


def machine_options(command: F) -> F:
    """Add `--threads` and `--device`; the command begins with `take_machine`."""
    threads = click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Of the CPU.")
    device = click.option(
        "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help=_DEVICE
    )
    return threads(device(command))


def take_machine(threads: int, device: str) -> None:
    """Set the threads, join the processes of torchrun, and raise UsageError where there is no such device."""
    import torch

    from ecgnat import ranks

    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("torch sees no GPU here: leave out --device, or install a CUDA build of torch")
    torch.set_num_threads(threads)
    ranks.start(device)
