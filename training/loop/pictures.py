"""The picture of a run: its losses and validation figures over the steps."""

from pathlib import Path
from typing import TYPE_CHECKING

from edge.core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS = "loss.png"
_LOSSES = ("loss", "validation")


def learning_curves(folder: Path, rows: list[dict[str, float]]) -> None:
    """Draw the rows of a log: losses, and macro AUCs if there are any (their names contain a point)."""
    from matplotlib.figure import Figure

    aucs = [name for name in rows[0] if "." in name]
    figure = Figure(figsize=(10, 4) if aucs else (7, 4), layout="constrained")
    panels = figure.subplots(1, 2 if aucs else 1, squeeze=False)[0]
    shown = [([name for name in _LOSSES if name in rows[0]], "loss"), (aucs, "macro AUC, validation, middle windows")]
    steps = [row["step"] for row in rows]
    for axes, (names, title) in zip(panels, shown, strict=False):
        for name in names:
            axes.plot(steps, [row[name] for row in rows], marker=".", label=name)
        axes.set(xlabel="step", ylabel=title)
        axes.legend()
    save_figure(figure, folder / LOSS)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as scratch:
        figure.savefig(scratch, format="png", dpi=100)
