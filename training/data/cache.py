"""Stretches of a whole data set on disk, memory-mapped, so that training starts at once.

A cache lies under `ECG_CACHE` (default `~/.cache/ecg-nat/windows`). Its folder name contains a hash of the label table
and of the lengths of stretch and window, so a change of any of them makes a new cache.

    signal.f16   (stretches, 12, samples) float16, mV, without offset, not conditioned
    *.npy        keep, target, known, window_start, record, patient, start_s
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.core.leads import LEADS
from training.data.labels import NAMES
from training.data.sets import cinc2017, mitdb, ptb_xl, snomed, wfdb_folder
from training.data.windows import (
    ANYWHERE,
    INPUT,
    LAST_WINDOW_START,
    STRETCH_S,
    STRETCH_SAMPLES,
    Stretch,
    StretchReader,
    cut_windows,
)
from training.errors import DataError

READERS: dict[str, StretchReader] = {
    "ptb-xl": ptb_xl.stretches,
    "cinc2017": cinc2017.stretches,
    "mitdb": mitdb.stretches,
    "cpsc2018": snomed.stretches,
    "cinc2020": snomed.stretches,
    "cinc2021": snomed.stretches,
}
_FORMAT_VERSION = 3  # raise it when the labels of a data set or the arrays of a cache change


@dataclass(frozen=True)
class StretchSet:
    """The labelled stretches of one data set; row i of every array is stretch i."""

    name: str
    signal: NDArray[np.float16]  # (stretches, 12, STRETCH_SAMPLES) mV, memory-mapped, not conditioned
    keep: NDArray[np.uint8]  # (stretches, 12)
    target: NDArray[np.uint8]  # (stretches, labels)
    known: NDArray[np.uint8]  # (stretches, labels)
    window_start: NDArray[np.int16]  # (stretches,) of the window that has the labels, or `ANYWHERE`
    record: NDArray[np.str_]  # (stretches,)
    patient: NDArray[np.str_]  # (stretches,)
    start_s: NDArray[np.float64]  # (stretches,)

    def window_starts(self, rows: NDArray[np.intp], default: NDArray[np.integer] | int) -> NDArray[np.integer]:
        """Return where the labelled window of each row begins, (rows,); `default` where every window has the labels."""
        starts = self.window_start[rows]
        return np.where(starts == ANYWHERE, default, starts)

    def windows(
        self, rows: NDArray[np.intp], default_start: NDArray[np.integer] | int = LAST_WINDOW_START // 2
    ) -> NDArray[np.float32]:
        """Return the labelled window of each row, conditioned, (rows, 12, samples) mV; see `window_starts`."""
        return cut_windows(self.signal[rows], self.window_starts(rows, default_start))


_ARRAYS = ("keep", "target", "known", "window_start", "record", "patient", "start_s")


def cache_root() -> Path:
    """Folder that holds all caches."""
    return Path(os.environ.get("ECG_CACHE", "~/.cache/ecg-nat/windows")).expanduser()


def cache_folder(name: str) -> Path:
    """Folder of the cache of one data set; it may not exist yet."""
    parts = (_FORMAT_VERSION, NAMES, STRETCH_S, INPUT)
    return cache_root() / f"{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def load(name: str, data: Path) -> StretchSet:
    """Return the stretches of `data`/`name`, building the cache first if there is none.

    Raises
    ------
    DataError
        When the data set cannot be read or holds no record.
    """
    return _open(name, cache_folder(name), lambda: READERS[name](data / name))


def load_diagnosed(folder: Path) -> StretchSet:
    """Return the stretches of a folder of WFDB records whose headers name diagnoses by SNOMED CT; errors as `load`."""
    name = f"diagnosed-{wfdb_folder.fingerprint(folder)}"
    return _open(name, cache_folder(name), lambda: snomed.stretches(folder))


def load_unlabelled(folder: Path) -> StretchSet:
    """Return the stretches of any folder of WFDB records, without labels; errors as `load`."""
    name = f"folder-{wfdb_folder.fingerprint(folder)}"
    return _open(name, cache_folder(name), lambda: wfdb_folder.stretches(folder))


def _open(name: str, folder: Path, read: Callable[[], Iterator[Stretch]]) -> StretchSet:
    if not folder.is_dir():
        _build(folder, read())
    shape = (-1, len(LEADS), STRETCH_SAMPLES)
    # Copy on write: torch wants an array that it may write to, and the file must stay as it is.
    signal = np.memmap(folder / "signal.f16", np.float16, "c").reshape(shape)
    return StretchSet(name, signal, **{key: np.load(folder / f"{key}.npy", allow_pickle=False) for key in _ARRAYS})


def _build(folder: Path, stretches: Iterator[Stretch]) -> None:
    """Write a cache beside its place and rename it, so that a cache is complete or absent."""
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    scratch.mkdir(parents=True)
    try:
        rows = []
        with (scratch / "signal.f16").open("wb") as file:
            for stretch in stretches:
                stretch.signal.astype(np.float16).tofile(file)
                rows.append(_row(stretch))
        if not rows:
            raise DataError(f"no record was found for {folder.name.rpartition('-')[0]}")  # noqa: TRY301 - cleans up below
        for key, column in zip(_ARRAYS, zip(*rows, strict=True), strict=True):
            np.save(scratch / f"{key}.npy", np.array(column), allow_pickle=False)
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            shutil.rmtree(scratch)  # another process built the same cache first
    except BaseException:
        shutil.rmtree(scratch)
        raise


def _row(stretch: Stretch) -> tuple[object, ...]:
    return (
        stretch.keep,
        stretch.labels.target,
        stretch.labels.known,
        np.int16(stretch.window_start),
        stretch.record,
        stretch.patient,
        stretch.start_s,
    )
