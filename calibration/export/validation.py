"""The validation windows with the graph's answers, and the names of all records that were seen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.export import graph
from calibration.export.thresholds import Judged
from calibration.held_out import windows as heldout
from calibration.held_out.records import DATA_SETS, records_of
from calibration.held_out.windows import Part, Windows
from edge.bundle.manifest import Manifest

_PARTS = {"ptb-xl": Part("validation"), "cinc2017": Part("validation", records=2), "mitdb": Part("validation", cases=2)}
_SINGLE = ("I", "II")
NOISE_RECORDS = ("bw", "ma")


def load(data: Path, manifest: Manifest, progress: Callable[[int, int], None] = lambda *_: None) -> Windows:
    """Read the validation parts of all data sets; raise DataError when one cannot be read."""
    return heldout.load(data, manifest, _PARTS, progress)


def seen_records(data: Path) -> dict[str, dict[str, list[str]]]:
    """Names of the records of each set that trained and that chose."""
    seen = {
        name: {part: sorted(record.name for record in records_of(data, name, part)) for part in ("train", "validation")}
        for name in DATA_SETS
    }
    return seen | {"nstdb": {"train": list(NOISE_RECORDS)}}


def judge(path: Path, windows: Windows, manifest: Manifest) -> list[Judged]:
    """Let a graph answer, for PTB-XL also with one lead alone; (cases, labels) each."""
    session, groups = graph.session(path), []
    everything = heldout.predict(session, windows, manifest)
    for name in DATA_SETS:
        some = windows.of(name)
        groups.append(Judged(name, everything[some], windows.target[some], windows.known[some]))
    for lead in _SINGLE:
        alone = windows.only("ptb-xl", lead)
        scores = heldout.predict(session, alone, manifest)
        groups.append(Judged(f"ptb-xl.{lead}", scores, alone.target, alone.known))
    return groups


def some_of_each(windows: Windows, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return about `count` windows of each data set, spread over it: signal and keep."""
    rows = [np.linspace(0, part.size - 1, min(count, part.size)).astype(int) for part in map(windows.of, DATA_SETS)]
    picked = np.concatenate([windows.first[windows.of(n)[r]] for n, r in zip(DATA_SETS, rows, strict=True)])
    return windows.signal[picked], windows.keep[picked]
