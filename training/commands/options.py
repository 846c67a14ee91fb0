"""Options that every command that trains shares: how much of which machine it takes."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_DEVICE = "Where the network is; under torchrun each process takes the GPU of its local rank."


def machine_options(command: F) -> F:
    """Add `--threads` and `--device`; the command begins with `take_machine`."""
    threads = click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Of the CPU.")
    device = click.option(
        "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help=_DEVICE
    )
    return threads(device(command))


def take_machine(threads: int, device: str, *, many: bool = False, minutes: float | None = None) -> None:
    """Set the threads and join the processes of torchrun, where there are any.

    Parameters
    ----------
    threads : of the CPU
    device : to train on
    many : whether several processes can share the work
    minutes : budget by the clock, which several processes cannot share: each has its own

    Raises
    ------
    click.UsageError
        When there is no such device, or several processes that cannot share this work.
    """
    import torch

    from ecgnat import ranks

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if not many:
            raise click.UsageError("this is the work of a single process: start it without torchrun")
        if minutes is not None:
            raise click.UsageError("processes under torchrun share no clock: give --steps instead of --minutes")

    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("torch sees no GPU here: leave out --device, or install a CUDA build of torch")
    torch.set_num_threads(threads)
    ranks.start(device)
