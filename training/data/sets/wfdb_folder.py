"""Any folder of WFDB records, without labels: data for pretraining.

Stretches do not overlap, and a remainder shorter than a stretch is left out. A record a little shorter than a stretch
(by the coverage that the device needs) still gives one. Leads are found by the names in the headers; a record without
a lead of the twelve gives no stretch. No patients are named, so each record counts as one patient.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from training.data.labels import WindowLabels
from training.data.windows import INPUT, STRETCH_S, Stretch, cut_stretch, read_record, stretch_starts
from training.errors import DataError

_KNOWN_SETS = {  # a file that shows which set a folder is
    "ptbxl_database.csv": "ptb-xl",
    "REFERENCE-v3.csv": "cinc2017",
    "208.atr": "mitdb",
}


def headers(folder: Path) -> list[Path]:
    """Find the headers of the records, in the folder and below it, in a fixed order.

    Raises
    ------
    DataError
        When there is none, or when the folder is a known set, whose test records must not train.
    """
    for marker, name in _KNOWN_SETS.items():
        if next(folder.rglob(marker), None):
            raise DataError(f"{folder}: this is {name}; use --set {name}, which leaves its test records out")
    found = sorted(path for path in folder.rglob("*.hea") if not path.stem.endswith("_layout"))  # of MIMIC, no samples
    if not found:
        raise DataError(f"{folder}: no WFDB record (*.hea) there")
    return found


def fingerprint(folder: Path) -> str:
    """Return a short hash of the folder's path and of name, size and time of every header in it."""
    # The headers stand for the records: reading all samples to hash them would take as long as building the cache.
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in headers(folder)]
    return hashlib.sha256(repr((str(folder.resolve()), stats)).encode()).hexdigest()[:12]


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield the stretches of every record; stretches without a usable lead are skipped."""
    for path in headers(folder):
        name = str(path.relative_to(folder).with_suffix(""))
        recording = read_record(path.with_suffix(""))
        for start in stretch_starts(recording.samples.shape[1], STRETCH_S):
            signal, keep = cut_stretch(recording, start)
            if keep.any():
                yield Stretch(name, name, start / INPUT.sample_rate_hz, signal, keep, WindowLabels())
