"""One network at several lengths of the window: how well it judges records, what a window costs, how soon it reacts.

Reaction time is measured on records of PTB-XL that are joined, ten seconds in sinus rhythm and then ten of the rhythm
in question, every pair at four phases of the hop: from the joint to the end of the first window whose probability is
above that of 99% of the windows in sinus rhythm of other patients. Where two records in sinus rhythm are joined, what
is above is there by chance, or because of the seam. A device's alarm adds its pooling and on-delay.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgnat.model import Network
from edge.core.leads import LEADS
from training.data import cache, splits
from training.data.labels import INDEX, NAMES
from training.data.windows import INPUT, STRETCH_S, STRETCH_SAMPLES, cut_windows
from training.errors import CheckpointError, DataError
from training.evaluation.checkpoints import judge
from training.evaluation.metrics import label_aucs, macro
from training.evaluation.predictions import answers, predict
from training.loop import checkpoint

RHYTHMS = ("AF", "STACH", "SBRAD")
GROUPS = ("all", "superdiagnostic", "rhythm")
PROTOCOL = (
    "One network on windows of each length, one a second; macro AUC on records of fold 9, mean over a record's "
    "windows. Forward: one window by torch on one thread, median. Reaction: records in sinus rhythm joined to records "
    "of another rhythm; from the joint to the end of the first window above 99% of the windows in sinus rhythm of the "
    "unseen patients of folds 1-8, median; in brackets how many there are within ten seconds, and how many where sinus "
    "rhythm is joined to sinus rhythm."
)
_HOP = round(INPUT.hop_s * INPUT.sample_rate_hz)
_PHASES = 4  # of the hop, at which the joint may lie
_QUANTILE = 0.99


def lengths(folder: Path, data: Path, windows_s: tuple[float, ...]) -> dict[str, Any]:
    """Judge a checkpoint at each length of the window, in seconds.

    Returns
    -------
    dict
        `protocol`, `network` and `windows.{seconds}`: `macro_auc.{group}`, `forward_ms`, and of each rhythm that
        occurs `reaction.{rhythm}.{pairs, found, median_s, by_chance}`; `median_s` is None where half of them are
        never found

    Raises
    ------
    CheckpointError, DataError
        When the checkpoint or the data cannot be used.
    """
    model, names = checkpoint.load_model(folder)
    if names != NAMES:
        raise CheckpointError(f"{folder}: its outputs are not today's label table; train again")
    windows = cache.load("ptb-xl", data)
    rows = splits.rows_of(windows, data)
    occurring = [name for name in RHYTHMS if _having(windows, rows["judge"], name).size]
    result: dict[str, Any] = {"protocol": PROTOCOL, "network": folder.name, "windows": {}}
    for window_s in windows_s:
        judged = judge(model, data, "judge", window_s)
        high = high_in_sinus(model, windows, rows, window_s)
        result["windows"][f"{window_s:g}"] = {
            "macro_auc": {group: macro(label_aucs(*judged[group])) for group in GROUPS},
            "forward_ms": _forward_ms(model, window_s),
            "reaction": {name: reaction(model, windows, rows, name, window_s, high) for name in occurring},
        }
    return result


def _forward_ms(model: Network, window_s: float, rounds: int = 30) -> float:
    signal = np.zeros((1, len(LEADS), round(window_s * INPUT.sample_rate_hz)), np.float32)
    keep, times = np.ones((1, len(LEADS)), np.float32), []
    for _ in range(rounds):
        began = time.perf_counter()
        answers(model, signal, keep)
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def high_in_sinus(model: Network, windows: cache.WindowSet, rows: splits.Rows, window_s: float) -> NDArray[np.floating]:
    """Return for each label the probability that 99% of the unseen patients' windows in sinus rhythm are not above."""
    unseen, samples = _sinus(windows, rows["validation"]), round(window_s * INPUT.sample_rate_hz)
    if not unseen.size:
        raise DataError("ptb-xl: no unseen patients in sinus rhythm to compare with")
    places = range(0, STRETCH_SAMPLES - samples + 1, _HOP)
    quiet = np.concatenate([predict(model, windows, unseen, place, samples) for place in places])
    high: NDArray[np.floating] = np.quantile(quiet, _QUANTILE, axis=0)
    return high


def reaction(
    model: Network, windows: cache.WindowSet, rows: splits.Rows, name: str, window_s: float, high: NDArray[np.floating]
) -> dict[str, Any]:
    """Measure the reaction to one rhythm, as the head of this module says; `high` is of `high_in_sinus`."""
    label, samples = INDEX[name], round(window_s * INPUT.sample_rate_hz)
    calm, having = _sinus(windows, rows["judge"]), _having(windows, rows["judge"], name)
    if not calm.size:
        raise DataError("ptb-xl: no records in sinus rhythm to begin with")
    before, others = np.resize(calm, having.size), np.resize(np.roll(calm, 1), having.size)

    def delays_to(after: NDArray[np.intp]) -> NDArray[np.floating]:
        """Join each of `before` to one of `after` and return the delays in seconds, (pairs, phases), inf for never."""
        joined = np.concatenate([windows.signal[before], windows.signal[after]], axis=2)
        keep = (windows.keep[before] * windows.keep[after]).astype(np.float32)
        step = _HOP // _PHASES
        ends = np.arange(STRETCH_SAMPLES, 2 * STRETCH_SAMPLES, step) + step // 2
        looks = (cut_windows(joined, np.full(after.size, end - samples), samples) for end in ends)
        heard = np.stack([answers(model, window, keep)[:, label] for window in looks], axis=1)
        above = (heard > high[label]).reshape(after.size, -1, _PHASES)  # (pairs, hops, phases)
        after_s = ((ends - STRETCH_SAMPLES) / INPUT.sample_rate_hz).reshape(-1, _PHASES)
        first: NDArray[np.floating] = np.where(above, after_s, np.inf).min(axis=1)
        return first

    delays = delays_to(having)
    median = float(np.median(delays))
    return {
        "pairs": int(having.size),
        "found": float(np.isfinite(delays).mean()),
        "median_s": median if np.isfinite(median) else None,
        "by_chance": float(np.isfinite(delays_to(others)).mean()),
    }


def _said(windows: cache.WindowSet, rows: NDArray[np.intp], name: str, *, holds: bool) -> NDArray[np.bool_]:
    label = INDEX[name]
    said: NDArray[np.bool_] = (windows.known[rows, label] > 0) & ((windows.target[rows, label] > 0) == holds)
    return said


def _having(windows: cache.WindowSet, rows: NDArray[np.intp], name: str) -> NDArray[np.intp]:
    return rows[_said(windows, rows, name, holds=True)]


def _sinus(windows: cache.WindowSet, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows in sinus rhythm at a usual rate, without fibrillation."""
    sinus = _said(windows, rows, "SR", holds=True)
    for name in RHYTHMS:
        sinus &= _said(windows, rows, name, holds=False)
    return rows[sinus]


def render(result: dict[str, Any]) -> str:
    """Return the figures as a Markdown table, a line a length."""
    head = ["window, s", *(f"macro AUC, {group}" for group in GROUPS), "forward, ms"]
    first = next(iter(result["windows"].values()))
    head += [f"{name}: reaction, s (found; by chance)" for name in first["reaction"]]
    lines = ["## Lengths of the window", "", result["protocol"], ""]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for window_s, figures in result["windows"].items():
        cells = [window_s, *(f"{figures['macro_auc'][group]:.4f}" for group in GROUPS), f"{figures['forward_ms']:.1f}"]
        cells += [_cell(reaction) for reaction in figures["reaction"].values()]
        lines.append("| " + " | ".join(cells) + " |")
    pairs = ", ".join(f"{name} {reaction['pairs']}" for name, reaction in first["reaction"].items())
    return "\n".join([*lines, "", f"The network: {result['network']}. Pairs: {pairs}."])


def _cell(reaction: dict[str, Any]) -> str:
    median = f"over {STRETCH_S:g}" if reaction["median_s"] is None else f"{reaction['median_s']:.2f}"
    return f"{median} ({100 * reaction['found']:.0f}%; {100 * reaction['by_chance']:.0f}%)"
