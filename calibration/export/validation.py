"""The validation windows with a graph's outputs, and the names of all records that training saw."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.export import graph
from calibration.export.thresholds import ScoredWindows
from calibration.held_out.records import DATA_SETS, records_of
from calibration.held_out.windows import HeldOutWindows, Part, load_windows, predict_decisions
from edge.bundle.manifest import Manifest

_PARTS = {
    "ptb-xl": Part("validation"),
    "cinc2017": Part("validation", every_record=2),
    "mitdb": Part("validation", every_decision=2),
}
_SINGLE = ("I", "II")
NOISE_RECORDS = ("bw", "ma")


def load_validation(data: Path, manifest: Manifest) -> HeldOutWindows:
    """Read the validation parts of all data sets; DataError when one cannot be read."""
    return load_windows(data, manifest, _PARTS)


def seen_records(data: Path) -> dict[str, dict[str, list[str]]]:
    """Return the names of the records of each set that trained, and those that chose thresholds."""
    seen = {
        name: {part: sorted(record.name for record in records_of(data, name, part)) for part in ("train", "validation")}
        for name in DATA_SETS
    }
    return seen | {"nstdb": {"train": list(NOISE_RECORDS)}}


def score_graph(path: Path, windows: HeldOutWindows, manifest: Manifest) -> list[ScoredWindows]:
    """Run a graph on each data set, and on PTB-XL also with one lead alone."""
    session, groups = graph.open_graph(path), []
    outputs = predict_decisions(session, windows, manifest)
    for name in DATA_SETS:
        some = windows.decisions_of(name)
        groups.append(ScoredWindows(name, outputs[some], windows.target[some], windows.known[some]))
    for lead in _SINGLE:
        alone = windows.with_one_lead("ptb-xl", lead)
        scores = predict_decisions(session, alone, manifest)
        groups.append(ScoredWindows(f"ptb-xl.{lead}", scores, alone.target, alone.known))
    return groups


def some_of_each(windows: HeldOutWindows, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return signal and keep of up to `count` windows of each data set, evenly spread."""
    parts = [windows.decisions_of(name) for name in DATA_SETS]
    picks = [part[np.linspace(0, part.size - 1, min(count, part.size)).astype(int)] for part in parts]
    rows = windows.first[np.concatenate(picks)]  # the first window of each decision
    return windows.signal[rows], windows.keep[rows]
