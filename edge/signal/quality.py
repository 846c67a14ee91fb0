"""Signal quality of each lead in each second, at the native rate.

The limits were set on DS1, the 22 unpaced training records of MIT-BIH: clean, and with the noise records `ma` (muscle)
and `bw` (wander) of its Noise Stress Test Database added, as `edge/lab/scoring/noise.py` does.
"""

import enum
from collections import deque
from statistics import median

from edge.signal.native import Measures
from edge.signal.qrs import agreement

FLAT_MV = 0.005  # peak to peak in a second: an electrode on a body has more noise than this
_FLAT_S = 3  # in a row: with a coarse converter, a pause is flat for a second or two
MIN_PRESENT = 0.9  # part of a second that must have arrived
_STUCK_S = 0.1  # at an extreme, far from the mean: no wave has such a flat top; the longest in clean DS1 is
_STUCK_MV = 1.0
_BEYOND = 0.05  # part of a second that may be out of range after the high-pass
_DRIFT_MV = 3.0  # after the high-pass, for half of the second: it removes breathing, but not electrode motion
_MAINS = 0.5  # amplitude, of a QRS complex's height: peak to peak the hum is as high as the complex
_MAINS_MV = 1.5
# Muscle noise, from 20 to 45 Hz, is as strong between the complexes as the complexes of this lead are at their peak in
# that band. Half of that is enough when the two beat detectors disagree and the signal has no peaks, or when the second
# before was noisy, as muscles do not relax for a single second. Flutter has its power at lower frequencies.
_MUSCLE = 1.0
_SOME_MUSCLE = 0.5
_MUSCLE_COLOUR = 0.45  # least RMS in the muscle band, of that in the QRS band, both between the complexes
_AGREEMENT = 0.7
_KURTOSIS = 5.0  # Li et al. 2008: an ECG has more, as its complexes are high and short
_CALM = 0.3  # noise between the complexes, of the peak: with less, the peak is a complex
_MAX_GROWTH = 2.0  # a peak that many times as high as those before is noise rather than a complex
_MEMORY = 10  # seconds that are remembered
_RELEARN = 30  # seconds without a new peak, after which a lead's complexes are measured again
_PAIR_S = 0.15  # two detections so close are the same beat, as in EC57


class QualityIssue(enum.IntEnum):
    """What is wrong with a lead in a second; 0 is nothing."""

    NONE = 0
    GAP = 1  # too little of it arrived
    FLAT = 2
    SATURATED = 3  # stuck at an extreme value
    RANGE = 4  # too far from 0
    WANDER = 5  # more than the high-pass removes
    MAINS = 6
    NOISE = 7  # of muscles


class QualityAssessor:
    """Assesses one lead, second by second."""

    def __init__(self, sample_rate_hz: float) -> None:
        self._reach = _PAIR_S * sample_rate_hz
        self._kept_samples = _MEMORY * round(sample_rate_hz)
        self._peaks: deque[float] = deque(maxlen=_MEMORY)  # in the muscle band, of seconds with complexes
        self._shares: deque[float] = deque(maxlen=_MEMORY)  # of the peak that is between the complexes
        self._moments: deque[tuple[int, float, float]] = deque(maxlen=_MEMORY)  # (samples, sums of powers)
        self._beats: tuple[deque[int], deque[int]] = (deque(), deque())  # of the two detectors
        self._flat_s = 0  # seconds in a row
        self._height: float | None = None  # of the complexes, in the last second without hum
        self._unmeasured_s = 0  # seconds since a peak was last added
        self._was_noisy = False

    def assess(
        self, lead: int, measures: Measures, height: float | None, beats: tuple[list[int], list[int]]
    ) -> QualityIssue:
        """Return what is wrong with the lead in the next second.

        Parameters
        ----------
        lead : row of the measures
        measures : of the second
        height : of the lead's QRS complexes, mV; None when it is not known
        beats : found in it by the two detectors, as sample indices
        """
        for kept, new in zip(self._beats, beats, strict=True):
            kept.extend(new)
            while kept and kept[0] < kept[-1] - self._kept_samples:
                kept.popleft()
        self._moments.append((measures.features.shape[1], *measures.moments[:, lead].tolist()))
        self._flat_s = self._flat_s + 1 if measures.extent[lead] < FLAT_MV else 0
        if self._flat_s >= _FLAT_S:
            return QualityIssue.FLAT
        if measures.stuck_s[lead] >= _STUCK_S and measures.extent[lead] >= _STUCK_MV:
            return QualityIssue.SATURATED
        if measures.beyond[lead] > _BEYOND:
            return QualityIssue.RANGE
        if measures.drift[lead] > _DRIFT_MV:
            return QualityIssue.WANDER
        if self._humming(float(measures.mains[lead]), height):
            return QualityIssue.MAINS
        return QualityIssue.NOISE if self._noisy(lead, measures) else QualityIssue.NONE

    def _humming(self, mains: float, height: float | None) -> bool:
        """Return whether mains hum is too high, compared with the complexes before it: hum makes them seem higher."""
        limit = _MAINS_MV if self._height is None else min(_MAINS * self._height, _MAINS_MV)
        if mains <= limit:
            self._height = height
        return mains > limit

    def _noisy(self, lead: int, measures: Measures) -> bool:
        muscle, peak = float(measures.muscle[lead]), float(measures.muscle_peak[lead])
        self._shares.append(muscle / peak if peak else 0.0)
        usual_peak = median(self._peaks) if self._peaks else peak
        coloured = muscle > _MUSCLE_COLOUR * measures.between[lead]
        some = muscle > _SOME_MUSCLE * usual_peak and (self._was_noisy or self._doubtful())
        noisy = self._was_noisy = coloured and (muscle > _MUSCLE * usual_peak or some)
        self._learn(peak, muscle, noisy=noisy)
        return noisy

    def _doubtful(self) -> bool:
        """Return whether the detectors disagree about the beats and the signal has no peaks like those of an ECG."""
        agreed = agreement(*self._beats, self._reach)
        return agreed is not None and agreed < _AGREEMENT and self._kurtosis() < _KURTOSIS

    def _kurtosis(self) -> float:
        count, second, fourth = (sum(sums) for sums in zip(*self._moments, strict=True))
        return count * fourth / second**2 if second else 0.0

    def _learn(self, peak: float, muscle: float, *, noisy: bool) -> None:
        """Remember the peak of complexes in the muscle band; never that of noise, which would then seem normal."""
        self._unmeasured_s += 1
        likely = not self._peaks or peak < _MAX_GROWTH * median(self._peaks)
        if not noisy and likely and muscle < _CALM * peak:
            self._peaks.append(peak)
            self._unmeasured_s = 0
        elif self._unmeasured_s > _RELEARN and median(self._shares) < _CALM:
            self._peaks.clear()
            self._unmeasured_s = 0
