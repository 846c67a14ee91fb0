"""Described and labelled beats of a record, made several times over: clean, under noise, lead by lead.

Each version of a record goes through the device's own code, second by second. A beat that was found has the class of
the nearest reference beat within 150 ms. A beat without such a partner is X, a false detection.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.beats.classes import CLASSES, X
from edge.beats.features import FEATURES, Described
from edge.beats.snippets import LENGTH
from edge.beats.tracker import BeatTracker
from edge.core.samples import Cause
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.beats import AAMI, MATCH_S
from edge.signal.analyzer import SignalAnalyzer
from training.beats.recording import Signal

NO_CLASS = -1
MOST_LEADS = 2
_FLUTTER = "!"  # a wave of ventricular flutter, which is no beat
_FLUTTER_S = 0.4
_KEEP_S = 2.0
_SNR_DB = (24.0, 18.0, 12.0, 6.0, 0.0)
_SPREAD_DB = 3.0
_TURN_S = 20.0  # after which the noise changes
_CLEAN_SHARE = 0.35  # of the turns
_HEIGHT_BEATS = 500
_LEAST_MV = 0.05  # added to each height, so that a flat lead gets some noise
_REACH_S = 0.05  # of a QRS complex, to each side


@dataclass(frozen=True)
class Version:
    """One way to play a record."""

    name: str
    leads: tuple[int, ...]
    noisy: bool = False


CLEAN = Version("clean", (0, 1))
FIRST_LEAD = Version("lead0", (0,))
VERSIONS = (
    CLEAN,
    FIRST_LEAD,
    Version("lead1", (1,)),
    Version("noise", (0, 1), noisy=True),
    Version("noise-lead0", (0,), noisy=True),
)


@dataclass(frozen=True)
class RecordBeats:
    """The described beats of one version of a record, in order of time."""

    time_s: NDArray[np.float64]  # (beats,)
    label: NDArray[np.int64]  # (beats,) index into `CLASSES`, or NO_CLASS
    snippets: NDArray[np.float16]  # (beats, 2 leads, 2 channels, samples): beat and template; 0 for an absent lead
    keep: NDArray[np.bool_]  # (beats, 2)
    features: NDArray[np.float32]  # (beats, features)


def describe(signal: Signal) -> Iterator[Described]:
    """Play a record through the device's analyzer and tracker, and yield its beats."""
    analyzer = SignalAnalyzer(len(signal.samples), signal.rate_hz, _KEEP_S)
    tracker = BeatTracker(len(signal.samples), signal.rate_hz)
    causes = np.where(signal.missing, np.uint8(Cause.INVALID), np.uint8(Cause.PRESENT))
    # The device gets short blocks too. A longer one would give the tracker signal that is not known yet.
    for start in range(0, signal.samples.shape[1], analyzer.step):
        part = slice(start, start + analyzer.step)
        analyzer.push(signal.samples[:, part], causes[:, part])
        tracker.push(signal.samples[:, part], causes[:, part])
        for second in analyzer.take_seconds(start + analyzer.step):
            yield from tracker.describe(second).described
    yield from tracker.finish(signal.samples.shape[1]).described


def record_beats(
    signal: Signal, annotation: Annotation, version: Version, noise: NDArray[np.float64], seed: str
) -> RecordBeats:
    """Describe and label the beats of one version of a record.

    Parameters
    ----------
    noise : (signals, n) of RMS 1, at the signal's rate
    seed : any text; the same text gives the same noise
    """
    played = signal.leads([lead for lead in version.leads if lead < len(signal.samples)])
    if version.noisy:
        heights = qrs_heights(played, annotation.times_s)
        added = noise_for(played, heights, noise, zlib.crc32(seed.encode()))
        played = Signal(np.where(played.missing, 0, played.samples + added), played.missing, played.rate_hz)
    beats = list(describe(played))
    snippets = np.zeros((len(beats), MOST_LEADS, 2, LENGTH), np.float16)
    keep = np.zeros((len(beats), MOST_LEADS), np.bool_)
    features = np.zeros((len(beats), FEATURES), np.float32)
    for row, beat in enumerate(beats):
        snippets[row, : len(beat.keep)] = beat.snippets[:, :2]  # the third channel is their difference
        keep[row, : len(beat.keep)] = beat.keep
        features[row] = beat.features
    time_s = np.array([beat.time_s for beat in beats], np.float64)
    return RecordBeats(time_s, labels(time_s, annotation.times_s, annotation.symbols), snippets, keep, features)


def labels(
    times_s: NDArray[np.float64], reference_s: NDArray[np.float64], symbols: NDArray[np.str_]
) -> NDArray[np.int64]:
    """Return (beats,) the class of each found beat.

    Flutter waves and beats that the annotators could not classify give NO_CLASS: nothing can be learned from them.
    """
    result = np.full(len(times_s), X, np.int64)
    if not reference_s.size or not times_s.size:
        return result
    partner, back = _nearest(times_s, reference_s), _nearest(reference_s, times_s)
    for beat, other in enumerate(partner.tolist()):
        apart_s, symbol = abs(times_s[beat] - reference_s[other]), str(symbols[other])
        if symbol == _FLUTTER:
            result[beat] = NO_CLASS if apart_s <= _FLUTTER_S else X
        elif apart_s <= MATCH_S and back[other] == beat:
            result[beat] = NO_CLASS if symbol in "Q?" else CLASSES.index(AAMI[symbol])
    return result


def _nearest(times: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (times,) the index of the nearest of `others`; both are in order."""
    right = np.clip(np.searchsorted(others, times), 0, len(others) - 1)
    left = np.maximum(right - 1, 0)
    nearest: NDArray[np.int64] = np.where(np.abs(times - others[left]) <= np.abs(others[right] - times), left, right)
    return nearest


def qrs_heights(signal: Signal, beats_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (leads,) the median height of the QRS complexes in mV."""
    reach = round(_REACH_S * signal.rate_hz)
    at = np.rint(beats_s * signal.rate_hz).astype(np.int64)
    inside = at[(at >= reach) & (at + reach < signal.samples.shape[1])][:_HEIGHT_BEATS]
    if not inside.size:
        return np.ones(len(signal.samples))
    around = signal.samples[:, inside[:, None] + np.arange(-reach, reach)]
    heights: NDArray[np.float64] = np.median(np.ptp(around, axis=2), axis=1).astype(np.float64) + _LEAST_MV
    return heights


def noise_for(
    signal: Signal, heights: NDArray[np.float64], noise: NDArray[np.float64], seed: int
) -> NDArray[np.float32]:
    """Return (leads, n) noise in mV whose kind and strength change every 20 s.

    The signal-to-noise ratio is that of EC57: a QRS complex of peak-to-peak height h has a power of h^2 / 8.
    """
    random = np.random.default_rng(seed)
    result = np.zeros_like(signal.samples)
    samples = signal.samples.shape[1]
    turn = min(round(_TURN_S * signal.rate_hz), noise.shape[1] - 1)
    for start in range(0, samples, turn):
        if random.random() < _CLEAN_SHARE:
            continue
        snr_db = random.choice(_SNR_DB)
        count = min(turn, samples - start)
        for lead, height in enumerate(heights):
            first = random.integers(noise.shape[1] - count)
            part = noise[random.integers(len(noise)), first : first + count]
            gain = height * 10 ** (-(snr_db + random.normal(0, _SPREAD_DB)) / 20) / np.sqrt(8)
            # It begins at 0, so that no step adds a false complex.
            result[lead, start : start + count] = gain * (part - part[0])
    return result
