"""Pictures of a run: loss and validation over the steps, and what a pretrained network drew where it could not look."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge.core.files import atomic_path
from edge.core.leads import LEADS
from training.data.windows import INPUT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS = "loss.png"
RECONSTRUCTIONS = "reconstructions.png"
_SHOWN = 4


def loss_curve(folder: Path, rows: list[dict[str, float]]) -> None:
    """Draw the loss in training and in validation, from the rows of the log."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["step"] for row in rows]
    for key in ("loss", "validation"):
        axes.plot(steps, [row[key] for row in rows], marker=".", label=key)
    axes.set(xlabel="step", ylabel="error of hidden patches, in their variance")
    axes.legend()
    _save(figure, folder / LOSS)


def learning_curves(folder: Path, rows: list[dict[str, float]]) -> None:
    """Draw the loss and the macro AUCs of the validation parts, from the rows of a supervised run's log."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [row["step"] for row in rows]
    left.plot(steps, [row["loss"] for row in rows], marker=".")
    left.set(xlabel="step", ylabel="loss in training, augmented windows")
    for key in [key for key in rows[0] if "." in key]:
        right.plot(steps, [row[key] for row in rows], marker=".", label=key)
    right.set(xlabel="step", ylabel="macro AUC, validation patients, middle windows")
    if right.get_lines():
        right.legend()
    _save(figure, folder / LOSS)


def reconstructions(folder: Path, signal: Tensor, drawn: Tensor, keep: Tensor, masked: Tensor) -> None:
    """Draw some windows and what the network made of their hidden parts, one lead of each.

    signal, drawn : (windows, 12, samples) mV; keep : (windows, 12); masked : (windows, 12, samples) bool
    """
    from matplotlib.figure import Figure

    rows = np.unique(np.linspace(0, signal.shape[0] - 1, _SHOWN).astype(int))
    figure = Figure(figsize=(10, 2.2 * rows.size), layout="constrained")
    for axes, row in zip(np.atleast_1d(figure.subplots(rows.size, sharex=True)), rows, strict=True):
        there = np.flatnonzero(keep[row].numpy())
        lead = int(there[row % there.size]) if there.size else 0
        hidden = masked[row, lead].numpy()
        time_s = np.arange(signal.shape[2]) / INPUT.sample_rate_hz
        truth: NDArray[np.float32] = signal[row, lead].numpy()
        axes.plot(time_s, truth, color="0.4", linewidth=1)
        axes.plot(time_s, np.where(hidden, drawn[row, lead].numpy(), np.nan), color="tab:red", linewidth=1.2)
        axes.fill_between(time_s, 0, 1, where=hidden, transform=axes.get_xaxis_transform(), color="0.9", linewidth=0)
        axes.set_ylabel(f"{LEADS[lead]} [mV]")
    figure.axes[-1].set_xlabel("s; grey: hidden from the network, red: drawn by it, at the patch's own scale")
    _save(figure, folder / RECONSTRUCTIONS)


def _save(figure: "Figure", path: Path) -> None:
    with atomic_path(path) as scratch:
        figure.savefig(scratch, format="png", dpi=100)
