"""The beats of all records as one set to draw from, with a cache of the described beats.

    CACHE/SET/VERSION/RECORD.npz   the arrays of `RecordBeats`

A record of 30 minutes takes about 10 s for each version. The cache must be deleted when the device's code for
describing beats changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.beats.classes import CLASSES
from edge.beats.features import FEATURES
from edge.core.files import atomic_path
from training.beats.description import NO_CLASS, VERSIONS, RecordBeats, Version, record_beats
from training.beats.recording import Record, noise_at, read_signal
from training.data.reporting import ReportProgress
from training.errors import DataError

_ARRAYS = ("time_s", "label", "snippets", "keep", "features")


@dataclass(frozen=True)
class BeatSet:
    """Labelled beats of many records and versions."""

    snippets: NDArray[np.float16]  # (beats, 2 leads, 2 channels, samples)
    keep: NDArray[np.bool_]  # (beats, 2)
    features: NDArray[np.float32]  # (beats, features)
    label: NDArray[np.int64]  # (beats,) index into `CLASSES`
    group: NDArray[np.int64]  # (beats,) number of its record and class
    patient: NDArray[np.str_]  # (beats,)


class BeatCache:
    """The described beats of each record and version, on disk.

    Parameters
    ----------
    folder : of the cache
    data : folder of the data sets; nstdb gives the noise
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self._folder = folder
        self._data = data
        self._noise: dict[float, NDArray[np.float64]] = {}  # by sample rate

    def build(self, records: Sequence[Record], report: ReportProgress) -> None:
        """Describe what the cache lacks."""
        for number, record in enumerate(records):
            report("describing beats", number, len(records))
            missing = [version for version in VERSIONS if not self._path(record, version).is_file()]
            if missing:
                self._describe(record, missing)

    def read(self, record: Record, version: Version) -> RecordBeats:
        """Return the beats of one version; DataError when the cached file does not fit the device's code."""
        path = self._path(record, version)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                beats = RecordBeats(*(arrays[name] for name in _ARRAYS))
        except (OSError, ValueError, KeyError) as exc:
            raise DataError(f"{path}: cannot be read ({exc}); delete it and run the command again") from exc
        if beats.features.shape[1] != FEATURES:
            raise DataError(f"{path}: made by another version of the code; delete {self._folder}")
        return beats

    def _describe(self, record: Record, versions: Sequence[Version]) -> None:
        signal, annotation = read_signal(record.path), record.annotation()
        if signal.rate_hz not in self._noise:
            self._noise[signal.rate_hz] = noise_at(self._data / "nstdb", signal.rate_hz)
        for version in versions:
            seed = f"{record.data_set}/{record.name}/{version.name}"
            beats = record_beats(signal, annotation, version, self._noise[signal.rate_hz], seed)
            path = self._path(record, version)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as scratch, scratch.open("wb") as file:
                np.savez(
                    file,
                    time_s=beats.time_s,
                    label=beats.label,
                    snippets=beats.snippets,
                    keep=beats.keep,
                    features=beats.features,
                )

    def _path(self, record: Record, version: Version) -> Path:
        return self._folder / record.data_set / version.name / f"{record.name}.npz"


def load_beats(cache: BeatCache, records: Sequence[Record]) -> BeatSet:
    """Join the beats with a class of all versions; DataError when there is none."""
    parts: list[RecordBeats] = []
    groups, patients = [], []
    for number, record in enumerate(records):
        for version in VERSIONS:
            part = _labelled(cache.read(record, version))
            parts.append(part)
            groups.append(number * len(CLASSES) + part.label)
            patients.append(np.full(len(part.label), record.patient))
    if not any(len(part.label) for part in parts):
        raise DataError("no beat was found in any record")
    return BeatSet(
        np.concatenate([part.snippets for part in parts]),
        np.concatenate([part.keep for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate(groups),
        np.concatenate(patients),
    )


def _labelled(beats: RecordBeats) -> RecordBeats:
    rows = beats.label != NO_CLASS
    return RecordBeats(
        beats.time_s[rows], beats.label[rows], beats.snippets[rows], beats.keep[rows], beats.features[rows]
    )
