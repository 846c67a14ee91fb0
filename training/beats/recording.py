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


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The records that train. All others of these sets, as DS2 of mitdb, are for judging.
TRAIN = {
    "mitdb": MITDB_TRAIN | MITDB_VALIDATION,
    "svdb": _names(
        "800 801 802 803 804 805 806 808 810 811 820 821 822 823 824 826 827 828 829 841 842 843 845 846 847 "
        "848 849 850 851 852 853 854 857 858 859 860 861 862 865 866 868 869 871 873 874 875 876 877 879 880 "
        "883 884 886 887 888 890 891 892 893 894"
    ),
    "vfdb": _names("421 422 423 425 426 427 428 429 430 605 607 610 611 612 615"),
    "cudb": _names(
        "cu01 cu02 cu04 cu05 cu09 cu11 cu12 cu13 cu15 cu16 cu17 cu19 cu21 cu23 cu24 cu26 cu27 cu29 cu31 cu32 "
        "cu33 cu34 cu35"
    ),
}
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


def records_of(data: Path, sets: Sequence[str] = SETS) -> list[Record]:
    """List the annotated records of these sets that train; DataError when a set is missing."""
    found = []
    for name in sets:
        names = [path.stem for path in sorted((data / name).glob("*.atr")) if path.stem in TRAIN[name]]
        if not names:
            raise DataError(f"{data / name}: no annotated record (*.atr) to train on; run `ecg-train fetch {name}`")
        found += [Record(name, record, data / name / record) for record in names]
    return found


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
