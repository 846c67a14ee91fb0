"""Runs a training with a progress bar."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from training.loop.config import LoopConfig, Progress
from training.loop.trainer import Trainer


def run_with_bar(trainer: Trainer[Any], config: LoopConfig, title: str, console: Console) -> None:
    """Train until the budget is spent, and print a line at each save; errors as of `Trainer.run`."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.1f}%"), TimeElapsedColumn())
    with ProgressBar(*columns, console=console) as bar:
        task = bar.add_task(title, total=1.0)

        def report(progress: Progress, figures: str) -> None:
            speed = f"{progress.windows / max(progress.elapsed_s, 1e-9):.0f} windows/s"
            text = f"step {progress.step}  loss {progress.loss:.4f}  {speed}"
            bar.update(task, completed=progress.share(config), description=text)
            if figures:
                console.print(f"step {progress.step}  {progress.elapsed_s / 60:.1f} min  {speed}  {figures}")

        trainer.run(report)
