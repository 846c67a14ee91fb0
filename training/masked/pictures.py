"""A picture of reconstructions: hidden parts of some windows, and what the network drew there."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge.core.leads import LEADS
from training.data.windows import INPUT
from training.loop import pictures

RECONSTRUCTIONS = "reconstructions.png"
_SHOWN = 4


def draw_reconstructions(folder: Path, signal: Tensor, drawn: Tensor, keep: Tensor, masked: Tensor) -> None:
    """Draw one lead of some windows.

    Parameters
    ----------
    folder : of the picture
    signal, drawn : (windows, 12, samples) mV
    keep : (windows, 12)
    masked : (windows, 12, samples) bool, True where the network did not see the signal
    """
    from matplotlib.figure import Figure

    # Spread over all sets, whose windows come one after the other.
    rows = np.unique(np.linspace(0, signal.shape[0] - 1, _SHOWN).astype(int))
    figure = Figure(figsize=(10, 2.2 * rows.size), layout="constrained")
    for axes, row in zip(np.atleast_1d(figure.subplots(rows.size, sharex=True)), rows, strict=True):
        kept = np.flatnonzero(keep[row].numpy())
        lead = int(kept[row % kept.size]) if kept.size else 0
        hidden = masked[row, lead].numpy()
        time_s = np.arange(signal.shape[2]) / INPUT.sample_rate_hz
        truth: NDArray[np.float32] = signal[row, lead].numpy()
        axes.plot(time_s, truth, color="0.4", linewidth=1)
        axes.plot(time_s, np.where(hidden, drawn[row, lead].numpy(), np.nan), color="tab:red", linewidth=1.2)
        axes.fill_between(time_s, 0, 1, where=hidden, transform=axes.get_xaxis_transform(), color="0.9", linewidth=0)
        axes.set_ylabel(f"{LEADS[lead]} [mV]")
    figure.axes[-1].set_xlabel("s; grey: hidden from the network, red: its reconstruction, at the patch's own scale")
    pictures.save_figure(figure, folder / RECONSTRUCTIONS)
