"""What several commands share: options, the machine that they take, a progress bar and JSON."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from training.data.reporting import ReportProgress

F = TypeVar("F", bound=Callable[..., Any])
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
NEW_FOLDER = click.Path(file_okay=False, path_type=Path)
_DEVICE = "Where the network runs; under torchrun each process takes the GPU of its local rank."


def machine_options(command: F) -> F:
    """Add `--threads` and `--device`; the command begins with `take_machine`."""
    threads = click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads.")
    device = click.option(
        "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help=_DEVICE
    )
    return threads(device(command))


def take_machine(threads: int, device: str, *, many: bool = False, minutes: float | None = None) -> None:
    """Set the threads and join the processes of torchrun, if there are any.

    Parameters
    ----------
    threads : of the CPU
    device : to train on
    many : whether several processes can share the work
    minutes : a budget of time, which several processes cannot share because their clocks differ

    Raises
    ------
    click.UsageError
        When there is no such device, or several processes cannot share this work.
    """
    import torch  # here, because --help must not wait for it

    from ecgnat import ranks

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if not many:
            raise click.UsageError("this command runs as a single process: start it without torchrun")
        if minutes is not None:
            raise click.UsageError("processes under torchrun share no clock: give --steps instead of --minutes")

    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("torch finds no GPU here: leave out --device, or install a CUDA build of torch")
    torch.set_num_threads(threads)
    ranks.start(device)


def check_budget(minutes: float | None, steps: int | None) -> None:
    """Raise UsageError unless exactly one of `--minutes` and `--steps` is given."""
    if (minutes is None) == (steps is None):
        raise click.UsageError("give either --minutes or --steps")


@contextmanager
def progress_bar() -> Iterator[ReportProgress]:
    """Show a bar on standard error while the block runs; it yields the function that moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(description: str, done: int, total: int) -> None:
            bar.update(task, description=description, completed=done, total=total)

        yield report


def write_json(figures: object, path: Path | None) -> None:
    """Write figures to the file of `--json`, or to standard output if it is `-`; nothing without the option."""
    if path is not None:
        with click.open_file(str(path), "w", encoding="utf-8") as file:
            file.write(json.dumps(figures, indent=1) + "\n")
