"""A progress bar for commands that run ECG through the real path: how much of it, of how much, and how long it took."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge.core.output import clock

Tell = Callable[[str, float, float], None]  # what is being done, seconds of ECG done, seconds of all


@contextmanager
def ecg_progress(console: Console) -> Iterator[Tell]:
    """Show a bar while the block runs; it yields the function that moves it."""
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[at]}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, at="")

        def tell(what: str, done_s: float, total_s: float) -> None:
            at = f"{clock(done_s)} / {clock(total_s)}"
            bar.update(task, description=what, completed=done_s, total=total_s, at=at)

        yield tell
