"""A progress bar for commands that run ECG through the real path: ECG done, ECG in all, and time elapsed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge.core.output import clock

ShowProgress = Callable[[str, float, float], None]  # title, seconds of ECG done, seconds of ECG in all


@contextmanager
def ecg_progress(console: Console) -> Iterator[ShowProgress]:
    """Show a bar while the block runs; yield the function that updates it."""
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[at]}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, at="")

        def show_progress(title: str, done_s: float, total_s: float) -> None:
            at = f"{clock(done_s)} / {clock(total_s)}"
            bar.update(task, description=title, completed=done_s, total=total_s, at=at)

        yield show_progress
