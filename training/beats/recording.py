"""Whole records at their native rate, and the noise that is added to them.

Every channel is read, whatever its name: the beat network does not know which lead it sees, and svdb names none. So
this does not use `edge.sources.wfdb_record`, which reads the twelve leads alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy.signal as dsp
from numpy.typing import NDArray

from edge.core.errors import RecordError
from edge.lab.scoring.annotation import Annotation, patient_of, read_annotation
from edge.lab.scoring.noise import read_noise
from training.data.splits import MITDB_TRAIN, MITDB_VALIDATION
from training.errors import DataError

SETS = ("mitdb", "svdb")
PACED = frozenset({"102", "104", "107", "217"})  # EC57 leaves them out of the figures
NOISE_RECORDS = ("bw", "ma")
_NOISE_RATE_HZ = 360.0


@dataclass(frozen=True)
class Record:
    """A record that trains."""

    data_set: str
    name: str
    path: Path  # without extension

    @property
    def patient(self) -> str:
        """Name of the patient, different in each set."""
        return f"{self.data_set}/{patient_of(self.name)}"

    def annotation(self) -> Annotation:
        """Read its reference beats; RecordError when that fails."""
        return read_annotation(self.path)


@dataclass(frozen=True)
class Signal:
    """The samples of a record."""

    samples: NDArray[np.float32]  # (leads, n) mV, 0 where missing
    missing: NDArray[np.bool_]  # (leads, n)
    rate_hz: float

    def leads(self, chosen: Sequence[int]) -> "Signal":
        """Return the signal with these leads alone."""
        rows = list(chosen)
        return Signal(self.samples[rows], self.missing[rows], self.rate_hz)


def records_of(data: Path) -> list[Record]:
    """List the records that train: DS1 of mitdb with its paced records, and all of svdb.

    DataError when a set is missing. DS2 is the test set of `ecg-edge score` and never trains.
    """
    found = [
        Record(name, path.stem, path.with_suffix("")) for name in SETS for path in sorted((data / name).glob("*.atr"))
    ]
    chosen = [r for r in found if r.data_set != "mitdb" or r.name in MITDB_TRAIN | MITDB_VALIDATION]
    for name in SETS:
        if not any(record.data_set == name for record in chosen):
            raise DataError(f"{data / name}: no annotated record (*.atr) to train on; run `ecg-train fetch {name}`")
    return chosen


def read_signal(path: Path) -> Signal:
    """Read all channels of a WFDB record; DataError when that fails."""
    import wfdb

    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError, IndexError, TypeError) as exc:
        raise DataError(f"{path}: cannot be read as a WFDB record ({exc})") from exc
    samples = record.p_signal.T.astype(np.float32)
    missing = ~np.isfinite(samples)
    return Signal(np.where(missing, np.float32(0), samples), missing, float(record.fs))


def noise_at(folder: Path, rate_hz: float) -> NDArray[np.float64]:
    """Return (signals, n) noise of nstdb at a sample rate: baseline wander, muscle, both; RMS 1 in a usual second.

    DataError when nstdb cannot be read.
    """
    ratio = Fraction(rate_hz / _NOISE_RATE_HZ).limit_denominator(1000)
    kinds = []
    for name in NOISE_RECORDS:
        try:
            noise = read_noise(folder / name, _NOISE_RATE_HZ)
        except RecordError as exc:
            raise DataError(str(exc)) from exc
        resampled = dsp.resample_poly(noise, ratio.numerator, ratio.denominator, axis=1)
        kinds.append(resampled / _usual_rms(resampled, round(rate_hz))[:, None])
    length = min(kind.shape[1] for kind in kinds)
    wander, muscle = (kind[:, :length] for kind in kinds)
    return np.concatenate([wander, muscle, (wander + muscle[::-1]) / np.sqrt(2)])


def _usual_rms(noise: NDArray[np.float64], second: int) -> NDArray[np.float64]:
    """Return (signals,) mean over seconds of the RMS around the second's mean, without the extreme twentieths."""
    seconds = noise.shape[1] // second
    rms = np.sort(noise[:, : seconds * second].reshape(len(noise), seconds, second).std(axis=2), axis=1)
    cut = seconds // 20
    usual: NDArray[np.float64] = rms[:, cut : seconds - cut].mean(axis=1)
    return usual
