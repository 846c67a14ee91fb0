"""Windows of 5 s of one lead with a known rhythm, filtered by the device's own code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal as dsp
from numpy.typing import NDArray

from edge.beats.fibrillation import KINDS, RATE_HZ, WINDOW
from edge.beats.snippets import SnippetBuffer
from edge.core.samples import Cause
from edge.lab.scoring.annotation import read_annotation
from edge.signal.resample import StepResampler
from training.beats import rhythm_spans
from training.beats.recording import Signal, noise_at, read_signal, records_of
from training.beats.rhythm_spans import BENIGN, PER_S, UNSURE, VF, VT
from training.data.reporting import ReportProgress
from training.errors import DataError

NONE = -1
ANNOTATED = ("mitdb", "svdb", "vfdb", "cudb")
ALARMED = "cinc2015"
_SECOND = round(RATE_HZ)
_LEAST_MV = 0.02  # standard deviation of a window that trains
_MISSING = 0.1  # of a window, at most
_SHARES = (0.5, 0.22, 0.28)  # of the kinds in a batch
_LETHAL, _FIBRILLATION = 0.8, 0.6  # least part of a window that makes it VT or VF


@dataclass(frozen=True)
class LeadWindows:
    """One lead of a record, and where windows of a known rhythm begin in it."""

    data_set: str
    signal: NDArray[np.float32]  # (samples,) mV at 100 Hz, high-passed
    first: NDArray[np.int64]  # (windows,) first sample
    kind: NDArray[np.int64]  # (windows,) index into `KINDS`
    leads: int  # of the record

    def cut(self) -> NDArray[np.float32]:
        """Return (windows, samples)."""
        windows: NDArray[np.float32] = self.signal[self.first[:, None] + np.arange(WINDOW)]
        return windows


def read_windows(data: Path, report: ReportProgress) -> list[LeadWindows]:
    """Read every record that trains; DataError when a set cannot be read or some rhythm is in none of them."""
    found: list[LeadWindows] = []
    sources = list(_sources(data))
    for number, (data_set, path, alarm) in enumerate(sources):
        report("reading records", number, len(sources))
        signal = read_signal(path)
        if alarm is None:
            kinds = rhythm_spans.kinds_of_time(data_set, read_annotation(path))
        else:
            end_s = signal.samples.shape[1] / signal.rate_hz
            kinds = rhythm_spans.kinds_of_alarm(alarm[0], end_s, true=alarm[1])
        found += lead_windows(data_set, signal, kinds)
    held = {kind for lead in found for kind in lead.kind.tolist()}
    if absent := [name for kind, name in enumerate(KINDS) if kind not in held]:
        raise DataError(f"{data}: no window of {', '.join(absent)} in the records")
    return found


def _sources(data: Path) -> Iterator[tuple[str, Path, tuple[str, bool] | None]]:
    """Yield set, path and, in cinc2015, alarm of each record."""
    for record in records_of(data, ANNOTATED):
        yield record.data_set, record.path, None
    for name, alarm in sorted(rhythm_spans.read_alarms(data / ALARMED).items()):
        yield ALARMED, data / ALARMED / name, alarm


def lead_windows(data_set: str, signal: Signal, kinds: NDArray[np.int8]) -> Iterator[LeadWindows]:
    """Yield each lead with the windows of known rhythm, one a second."""
    filtered, missing = device_signal(signal)
    seconds = min(len(kinds) // PER_S, filtered.shape[1] // _SECOND) - WINDOW // _SECOND
    at = np.arange(0, max(seconds, 0), 2 if data_set == "svdb" else 1)  # svdb is long and mostly benign
    known = _kinds_of_windows(kinds, at * PER_S)
    for lead, gone in zip(filtered, missing, strict=True):
        inside = at[:, None] * _SECOND + np.arange(WINDOW)
        usable = (gone[inside].mean(axis=1) <= _MISSING) & (lead[inside].std(axis=1) >= _LEAST_MV) & (known != NONE)
        yield LeadWindows(data_set, lead, at[usable] * _SECOND, known[usable], len(filtered))


def _kinds_of_windows(kinds: NDArray[np.int8], first: NDArray[np.int64]) -> NDArray[np.int64]:
    inside = kinds[first[:, None] + np.arange(WINDOW * PER_S // _SECOND)]
    result = np.full(len(first), NONE, np.int64)
    result[(inside == BENIGN).all(axis=1)] = BENIGN
    result[(inside > BENIGN).mean(axis=1) > _LETHAL] = VT
    result[(inside == VF).mean(axis=1) > _FIBRILLATION] = VF
    result[(inside == UNSURE).any(axis=1)] = NONE
    return result


def device_signal(signal: Signal) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return (leads, samples) as the device's buffer holds them at 100 Hz, and where they are missing."""
    leads = len(signal.samples)
    resampler = StepResampler(leads, signal.rate_hz, RATE_HZ, first_step=_SECOND, step=_SECOND)
    buffer = SnippetBuffer(leads)
    causes = np.where(signal.missing, np.uint8(Cause.INVALID), np.uint8(Cause.PRESENT))
    values, missing = [np.zeros((leads, 0), np.float32)], [np.zeros((leads, 0), np.bool_)]
    for step in [*resampler.push(signal.samples, causes), *resampler.flush()]:
        buffer.push(step.values, step.missing)
        filtered, _ = buffer.cut(buffer.end, before=step.values.shape[1], after=0)
        values.append(filtered.copy())
        missing.append(step.missing)
    return np.concatenate(values, axis=1), np.concatenate(missing, axis=1)


def filtered_noise(folder: Path) -> NDArray[np.float32]:
    """Return (signals, n) noise of RMS 1 at 100 Hz, with the device's high-pass."""
    noise = dsp.lfilter(*dsp.butter(2, 0.5, "highpass", fs=RATE_HZ), noise_at(folder, RATE_HZ), axis=1)
    settled: NDArray[np.float32] = noise[:, WINDOW:].astype(np.float32)
    return settled


def chances(leads: Sequence[LeadWindows]) -> NDArray[np.float64]:
    """Return (windows,) how likely each window of all leads is drawn; half of the draws are benign.

    Within a kind, a record counts by the square root of its windows.
    """
    kinds = np.concatenate([lead.kind for lead in leads])
    weights = []
    for lead in leads:
        counts = np.bincount(lead.kind, minlength=len(KINDS))
        # The alarms of cinc2015 are the hard cases that the detector is for.
        weights.append((2.0 if lead.data_set == ALARMED else 1.0) / np.sqrt(counts[lead.kind]) / lead.leads)
    chance = np.concatenate(weights)
    for kind, share in enumerate(_SHARES):
        chance[kinds == kind] *= share / chance[kinds == kind].sum()
    return chance
