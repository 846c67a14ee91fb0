"""Windows of a whole data set on disk, memory-mapped, so that training starts at once.

A cache lies under `ECG_CACHE` (default `~/.cache/ecg-nat/windows`), in a folder whose name carries a key of
the label table, the window and the conditioning: a change of any of them makes a new cache.

    signal.f16   (windows, 12, samples) float16, mV, raw
    *.npy        keep, target, known, crop_start, crop_target, crop_known, record, patient, start_s
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.leads import LEADS
from training.datasets import cinc2017, mitdb, ptb_xl, wfdb_folder
from training.errors import DataError
from training.labels import NAMES
from training.windows import CROP_S, INPUT, Window, WindowReader

READERS: dict[str, WindowReader] = {
    "ptb-xl": ptb_xl.windows,
    "cinc2017": cinc2017.windows,
    "mitdb": mitdb.windows,
}
_TABLES_VERSION = 1  # raise it when a data set's table of meanings changes


@dataclass(frozen=True)
class WindowSet:
    """The labelled windows of one data set; row i of every array is window i."""

    name: str
    signal: NDArray[np.float16]  # (windows, 12, samples) mV, memory-mapped
    keep: NDArray[np.uint8]  # (windows, 12)
    target: NDArray[np.uint8]  # (windows, labels)
    known: NDArray[np.uint8]  # (windows, labels)
    crop_start: NDArray[np.int16]  # (windows,) in samples; -1 where any crop inherits the window's labels
    crop_target: NDArray[np.uint8]  # (windows, labels)
    crop_known: NDArray[np.uint8]  # (windows, labels)
    record: NDArray[np.str_]  # (windows,)
    patient: NDArray[np.str_]  # (windows,)
    start_s: NDArray[np.float64]  # (windows,)


_ARRAYS = ("keep", "target", "known", "crop_start", "crop_target", "crop_known", "record", "patient", "start_s")


def cache_root() -> Path:
    """Folder that holds all caches."""
    return Path(os.environ.get("ECG_CACHE", "~/.cache/ecg-nat/windows")).expanduser()


def cache_folder(name: str) -> Path:
    """Folder of the cache of one data set, whether it is there or not."""
    parts = (_TABLES_VERSION, NAMES, CROP_S, INPUT)
    return cache_root() / f"{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def load(name: str, data: Path) -> WindowSet:
    """Return the windows of `data`/`name`, building the cache first where it is not there.

    Raises
    ------
    DataError
        When the data set cannot be read or holds no record.
    """
    return _open(name, cache_folder(name), lambda: READERS[name](data / name))


def load_folder(folder: Path) -> WindowSet:
    """Return the windows of a plain folder of WFDB records, without labels; as `load`."""
    name = f"folder-{wfdb_folder.fingerprint(folder)}"
    return _open(name, cache_folder(name), lambda: wfdb_folder.windows(folder))


def _open(name: str, folder: Path, read: Callable[[], Iterator[Window]]) -> WindowSet:
    if not folder.is_dir():
        _build(folder, read())
    shape = (-1, len(LEADS), INPUT.window_samples)
    signal = np.memmap(folder / "signal.f16", np.float16, "r").reshape(shape)
    return WindowSet(name, signal, **{key: np.load(folder / f"{key}.npy", allow_pickle=False) for key in _ARRAYS})


def _build(folder: Path, windows: Iterator[Window]) -> None:
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    scratch.mkdir(parents=True)
    try:
        rows = []
        with (scratch / "signal.f16").open("wb") as file:
            for window in windows:
                window.signal.astype(np.float16).tofile(file)
                rows.append(_row(window))
        if not rows:
            raise DataError(f"no record was found for {folder.name.rpartition('-')[0]}")  # noqa: TRY301 - cleans up below
        for key, column in zip(_ARRAYS, zip(*rows, strict=True), strict=True):
            np.save(scratch / f"{key}.npy", np.array(column), allow_pickle=False)
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch)
        raise


def _row(window: Window) -> tuple[object, ...]:
    crop = window.crop_marks or window.marks
    return (
        window.keep,
        window.marks.target,
        window.marks.known,
        np.int16(window.crop_start),
        crop.target,
        crop.known,
        window.record,
        window.patient,
        window.start_s,
    )
