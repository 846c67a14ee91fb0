"""Tables and pictures of the studies, as a section each of `docs/results/training.md`."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edge.core.files import atomic_path
from edge.lab.drawing import new_figure

TITLE = "# Networks\n\n`ecg-train compare` and `ecg-train study` write the sections of this page.\n"
_COLUMNS = {
    "all": "macro AUC, all 71",
    "superdiagnostic": "macro AUC, superclasses",
    "rhythm": "macro AUC, rhythm",
    "accuracy": "accuracy, superclasses",
}
PROTOCOL = (
    "Fold 9 of PTB-XL, mean over a record's windows, one a second. Accuracy: the part of the decisions, over records "
    "and five superclasses, that are right at a threshold of 0.5. Mean over seeds, \u00b1 their standard "
    "deviation; a seed also draws other patients."
)


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table with a line for each group of arms."""
    groups: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["figures"])
    lines = ["| arm | seeds | " + " | ".join(_COLUMNS.values()) + " |", "|---" * (2 + len(_COLUMNS)) + "|"]
    for group, figures in groups.items():
        cells = [_spread([each[key] for each in figures]) for key in _COLUMNS]
        lines.append(f"| {group} | {len(figures)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machines(rows: list[dict[str, Any]]) -> str:
    """Return where the arms were trained, and from which encoder if one was given."""
    trained = Counter(row["machine"] for row in rows)
    text = "Trained on " + ", ".join(f"{machine} ({count} arms)" for machine, count in trained.items()) + "."
    encoders = sorted({row["encoder"] for row in rows if "encoder" in row})
    return text + (f" Pretrained: the encoder {', '.join(encoders)}." if encoders else "")


def label_efficiency(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw two macro AUCs over the share of labels as PNG: a line for each recipe, a point for each seed.

    Arms at the learning rate that was not chosen are only in the table.
    """
    figure = new_figure((10, 4), layout="constrained")
    chosen = [row for row in rows if "-rate-" not in row["group"]]
    for panel, key in enumerate(("all", "superdiagnostic"), 1):
        axes = figure.add_subplot(1, 2, panel)
        recipes: dict[str, list[tuple[float, float]]] = {}  # (labels in %, figure) of each arm
        for row in chosen:
            recipe = row["group"].rpartition("-")[0]
            recipes.setdefault(recipe, []).append((100 * row["arm"]["labels"], row["figures"][key]))
        for recipe, points in recipes.items():
            shares = sorted({share for share, _ in points})
            means = [np.mean([value for each, value in points if each == share]) for share in shares]
            (line,) = axes.plot(shares, means, label=recipe)
            axes.scatter(*zip(*points, strict=True), color=line.get_color(), s=12)
        axes.set(xscale="log", xlabel="labelled patients, %", ylabel=f"{_COLUMNS[key]}, fold 9")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.legend()
    with atomic_path(path) as scratch:
        figure.savefig(scratch, format="png", dpi=100)


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{np.mean(values):.4f} \u00b1 {np.std(values, ddof=1):.4f}"
