"""Any folder of WFDB records, labels ignored: unlabelled data for pretraining.

Stretches follow one another without overlap, and what does not fill the last one is left out, but a record a
little shorter than a stretch (by the coverage that the device wants) gives one. Leads are found by the names in
the headers; a record without a lead that the model knows gives nothing. No patients are named: a record
stands for one.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from training.data.labels import Marks
from training.data.windows import INPUT, STRETCH_S, Stretch, cut, read_record, starts
from training.errors import DataError

_SPLIT = {"ptbxl_database.csv": "ptb-xl", "REFERENCE-v3.csv": "cinc2017", "208.atr": "mitdb"}


def headers(folder: Path) -> list[Path]:
    """Find the headers of the records, in the folder and below it, in a fixed order.

    Raises
    ------
    DataError
        When there is none, or when the folder is a set of which parts must not be trained on.
    """
    for marker, name in _SPLIT.items():
        if next(folder.rglob(marker), None):
            raise DataError(f"{folder}: this is {name}; use --set {name}, which leaves its test records out")
    found = sorted(path for path in folder.rglob("*.hea") if not path.stem.endswith("_layout"))
    if not found:
        raise DataError(f"{folder}: no WFDB record (*.hea) there")
    return found


def fingerprint(folder: Path) -> str:
    """Return a short hash of the folder's place and of name, size and time of every header in it."""
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in headers(folder)]
    return hashlib.sha256(repr((str(folder.resolve()), stats)).encode()).hexdigest()[:12]


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield the stretches of every record; a window without a usable lead is left out."""
    for path in headers(folder):
        name = str(path.relative_to(folder).with_suffix(""))
        recording = read_record(path.with_suffix(""))
        for start in starts(recording.samples.shape[1], STRETCH_S):
            signal, keep = cut(recording, start)
            if keep.any():
                yield Stretch(name, name, start / INPUT.sample_rate_hz, signal, keep, Marks())
