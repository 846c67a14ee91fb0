"""Real noise added to a recording, as the `nst` program of the WFDB Software Package 10 does it.

The first five minutes stay clean; then two minutes noisy and two clean alternate. The signal's power is that of a sine
with the height of the QRS complexes: their height squared, divided by 8. Hence, for a signal-to-noise ratio SNR in dB:

    noise RMS = height * 10 ** (-SNR / 20) / sqrt(8)

Height and RMS are measured as `sigamp` does: peak to peak within 50 ms of each of the first 300 beats, and about the
mean of each of the first 300 seconds; of both the mean without the highest and the lowest twentieth. Sources: nst.c,
sigamp.c, ecgmap.h. Only reading a noise record needs the `wfdb` package.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import RecordError
from edge.core.samples import Cause
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.spans import Spans, union
from edge.sources.formats.adc import AdcBlock, AdcSpec, mv_from_adc
from edge.sources.recordings import Recording

CLEAN_START_S, PERIOD_S = 300.0, 120.0
_MEASURED = 300  # beats, and seconds of noise
_AROUND_S = 0.05
_UNTYPICAL = list("VEFr!")  # beats whose height is not measured: those not normal by `map1` of ecgmap.h


class NoisyRecording:
    """A recording with noise in its noisy periods, as ADC integers like the recording's own.

    Parameters
    ----------
    clean : the recording
    annotation : its reference; the height of the QRS complexes is measured at its beats
    noise : (signals, n) at the recording's rate, in any unit; lead `i` gets noise `i % signals`, from its start on
    snr_db : signal-to-noise ratio in the noisy periods

    Raises
    ------
    RecordError
        When the annotation has no beat to measure, or noise or QRS complexes have no height.
    """

    def __init__(self, clean: Recording, annotation: Annotation, noise: NDArray[np.float64], snr_db: float) -> None:
        self._blocks = list(clean.adc_blocks())
        self.spec: AdcSpec = clean.spec
        self.samples = clean.samples
        self.noisy_s = noisy_spans(clean.samples / clean.spec.sample_rate_hz)
        rate_hz = clean.spec.sample_rate_hz
        # The whole recording at once: the height of its first 300 beats must be known before the first block is sent.
        signal = mv_from_adc(np.concatenate([block.adc for block in self._blocks], axis=1), clean.spec)
        beats = np.rint(annotation.times_s[~np.isin(annotation.symbols, _UNTYPICAL)] * rate_hz).astype(np.int64)
        rows = np.arange(len(clean.spec.leads)) % len(noise)
        gains = noise_gains(qrs_heights(signal, beats, rate_hz), noise_rms(noise, rate_hz)[rows], snr_db)
        self._added_mv = added_noise(noise[rows] * gains[:, None], self.noisy_s, self.samples, rate_hz)

    def adc_blocks(self) -> Iterator[AdcBlock]:
        """Yield the recording's blocks with the noise added, clipped to the width of the samples."""
        gain = np.array(self.spec.gain)[:, None]
        # Symmetric, as the lowest value of a width may be the code for a missing sample.
        highest = (1 << 8 * self.spec.width - 1) - 1
        for block in self._blocks:
            added = np.rint(self._added_mv[:, block.first_sample : block.end_sample] * gain)
            adc = np.clip(block.adc + added, -highest, highest).astype(np.int32)
            adc = np.where(block.missing == Cause.PRESENT, adc, block.adc)  # noise does not fill gaps
            yield AdcBlock(block.first_sample, adc, block.missing, block.device_us, last=block.last)


def noisy_spans(end_s: float) -> Spans:
    """Return the noisy periods of a recording that ends at `end_s`."""
    starts = np.arange(CLEAN_START_S, end_s, 2 * PERIOD_S)
    return union((start, min(start + PERIOD_S, end_s)) for start in starts.tolist())


def qrs_heights(signal: NDArray[np.float32], beats: NDArray[np.int64], rate_hz: float) -> NDArray[np.float64]:
    """Return (leads,) trimmed means of the height of the first beats; (leads, n) signal, beats as sample indices."""
    reach = round(_AROUND_S * rate_hz)
    inside = beats[(beats >= reach) & (beats + reach <= signal.shape[1])][:_MEASURED]
    if not inside.size:
        raise RecordError("a noise stress test needs annotated beats, to measure the signal's power")
    around = signal[:, inside[:, None] + np.arange(-reach, reach)]  # (leads, beats, samples)
    return _trimmed(np.ptp(around, axis=2).astype(np.float64))


def noise_rms(noise: NDArray[np.float64], rate_hz: float) -> NDArray[np.float64]:
    """Return (signals,) trimmed means of the RMS about the mean of each second of (signals, n) noise."""
    second = round(rate_hz)
    seconds = min(noise.shape[1] // second, _MEASURED)
    if not seconds:
        raise RecordError("less than a second of noise")
    return _trimmed(noise[:, : seconds * second].reshape(len(noise), seconds, second).std(axis=2))


def noise_gains(heights: NDArray[np.float64], rms: NDArray[np.float64], snr_db: float) -> NDArray[np.float64]:
    """Return (leads,) factors that scale noise of this RMS to the SNR, for QRS complexes of these heights."""
    if not (heights > 0).all() or not (rms > 0).all():
        raise RecordError("QRS complexes or noise have no height, so no SNR can be set")
    gains: NDArray[np.float64] = heights * 10 ** (-snr_db / 20) / np.sqrt(8) / rms
    return gains


def added_noise(noise: NDArray[np.float64], noisy_s: Spans, samples: int, rate_hz: float) -> NDArray[np.float64]:
    """Return (leads, samples) of noise to add: only in the noisy periods, without a step at their ends.

    After a period the last value stays, as in `nst`. A noise record that is too short is repeated.
    """
    indices = np.arange(samples) % noise.shape[1]
    inside = np.zeros(samples, np.bool_)
    for start, end in np.rint(noisy_s * rate_hz).astype(np.int64):
        inside[start:end] = True
    # Integrating the differences inside the periods gives the noise there and a constant between them.
    differences = np.diff(noise[:, indices], axis=1, prepend=noise[:, :1])
    differences[:, (indices == 0) | ~inside] = 0.0
    added: NDArray[np.float64] = np.cumsum(differences, axis=1)
    return added


def read_noise(path: Path, rate_hz: float) -> NDArray[np.float64]:
    """Read a noise record such as `nstdb/ma`, (signals, n). It must have this sample rate.

    Raises
    ------
    RecordError
        When it cannot be read, has another rate, or wfdb is not installed.
    """
    try:
        import wfdb

        record = wfdb.rdrecord(str(path))
    except ImportError as exc:
        raise RecordError("noise records need the wfdb package: pip install 'ecg-nat[data]'") from exc
    except (OSError, ValueError, IndexError, TypeError) as exc:
        raise RecordError(f"{path}: cannot be read as a WFDB record ({exc})") from exc
    if record.fs != rate_hz:
        raise RecordError(f"{path}: noise at {record.fs:g} Hz, but records at {rate_hz:g} Hz; resample it first")
    noise: NDArray[np.float64] = record.p_signal.T
    if not np.isfinite(noise).all():
        raise RecordError(f"{path}: the noise record has gaps")
    return noise


def _trimmed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis without its highest and lowest twentieth."""
    cut = values.shape[-1] // 20
    mean: NDArray[np.float64] = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return mean
