"""How good each lead was in each second, judged at the native rate. Pure; knows nothing of windows and models.

Where the limits come from is said beside them: DS1 is the 22 unpaced training records of MIT-BIH, clean or with the
noise records `ma` (muscle) and `bw` (wander) of its Noise Stress Test Database added as `edge/scoring/noise.py` does.
"""

import enum
from collections import deque
from statistics import median

from edge.signal.native import Measures
from edge.signal.qrs import agreement

FLAT_MV = 0.005  # less than this from peak to peak in a second is no electrode on a body: not even its noise
_FLAT_S = 3  # in a row: a pause on a coarse converter is flat for a second or two
MIN_PRESENT = 0.9  # part of a second that must be there
_STUCK_S = 0.1  # at an extreme, far from the mean: no wave has such a top; the longest in clean DS1 is
_STUCK_MV = 1.0
_BEYOND = 0.05  # part of a second that may be out of range after the high-pass
_DRIFT_MV = 3.0  # after the high-pass, for half of the second: what wander it leaves is electrode motion
_MAINS = 0.5  # amplitude, of a QRS complex's height: as high as that from peak to peak
_MAINS_MV = 1.5
# Muscle noise: between the complexes as strong, from 20 to 45 Hz, as a complex of this lead is at its peak there; and
# no flutter, which has its power below. With less, when the two beat detectors disagree and the signal is not peaked,
# or when the second before was noisy: muscles do not rest by the second.
_MUSCLE = 1.0
_SOME_MUSCLE = 0.5
_MUSCLE_COLOUR = 0.45  # of the power in the QRS band, both between the complexes
_AGREEMENT = 0.7
_KURTOSIS = 5.0  # Li et al. 2008: an ECG has more
_CALM = 0.3  # noise between complexes, of the peak: below this there are complexes
_LEAP = 2.0  # a peak so many times as high as those before is noise rather than a complex
_MEMORY = 10  # seconds
_RELEARN = 30  # seconds after which a lead's complexes are measured anew
_PAIR_S = 0.15  # EC57's match window


class QualityIssue(enum.IntEnum):
    """What was wrong with a lead in a second; 0 is nothing."""

    NONE = 0
    GAP = 1  # too little of it was there
    FLAT = 2
    SATURATED = 3
    RANGE = 4
    WANDER = 5  # that a high-pass leaves
    MAINS = 6
    NOISE = 7


class LeadQuality:
    """ModelSwitch one lead, second by second."""

    def __init__(self, sample_rate_hz: float) -> None:
        self._reach = _PAIR_S * sample_rate_hz
        self._keep = _MEMORY * round(sample_rate_hz)
        self._peaks: deque[float] = deque(maxlen=_MEMORY)  # in the muscle band, of seconds with complexes
        self._shares: deque[float] = deque(maxlen=_MEMORY)  # of the peak that is between the complexes
        self._moments: deque[tuple[int, float, float]] = deque(maxlen=_MEMORY)
        self._beats: tuple[deque[int], deque[int]] = (deque(), deque())
        self._flat = 0  # seconds
        self._height: float | None = None  # of the complexes, as long as there is no hum
        self._silent = 0  # seconds since the peaks were measured
        self._was_noisy = False

    def judge(
        self, lead: int, measures: Measures, height: float | None, beats: tuple[list[int], list[int]]
    ) -> QualityIssue:
        """Judge the next second.

        Parameters
        ----------
        lead : row of the measures
        measures : of the second
        height : of the lead's QRS complexes, mV, where it is known
        beats : that two detectors found in it, as sample indices
        """
        for kept, new in zip(self._beats, beats, strict=True):
            kept.extend(new)
            while kept and kept[0] < kept[-1] - self._keep:
                kept.popleft()
        self._moments.append((measures.features.shape[1], *measures.moments[:, lead].tolist()))
        self._flat = self._flat + 1 if measures.extent[lead] < FLAT_MV else 0
        if self._flat >= _FLAT_S:
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
        """Compare with the complexes before the hum, as it makes them seem higher."""
        limit = _MAINS_MV if self._height is None else min(_MAINS * self._height, _MAINS_MV)
        if mains <= limit:
            self._height = height
        return mains > limit

    def _noisy(self, lead: int, measures: Measures) -> bool:
        muscle, peak = float(measures.muscle[lead]), float(measures.muscle_peak[lead])
        self._shares.append(muscle / peak if peak else 0.0)
        known = median(self._peaks) if self._peaks else peak
        coloured = muscle > _MUSCLE_COLOUR * measures.between[lead]
        some = muscle > _SOME_MUSCLE * known and (self._was_noisy or self._doubtful())
        noisy = self._was_noisy = coloured and (muscle > _MUSCLE * known or some)
        self._learn(peak, muscle, noisy=noisy)
        return noisy

    def _doubtful(self) -> bool:
        agreed = agreement(*self._beats, self._reach)
        return agreed is not None and agreed < _AGREEMENT and self._kurtosis() < _KURTOSIS

    def _kurtosis(self) -> float:
        count, second, fourth = (sum(sums) for sums in zip(*self._moments, strict=True))
        return count * fourth / second**2 if second else 0.0

    def _learn(self, peak: float, muscle: float, *, noisy: bool) -> None:
        """Remember how high complexes stand in the muscle band; not from noise, which would then pass for them."""
        self._silent += 1
        likely = not self._peaks or peak < _LEAP * median(self._peaks)
        if not noisy and likely and muscle < _CALM * peak:
            self._peaks.append(peak)
            self._silent = 0
        elif self._silent > _RELEARN and median(self._shares) < _CALM:
            self._peaks.clear()
            self._silent = 0
