"""Follows the beats of one stream: from native samples and analysed seconds to beats as the network sees them.

The tracker belongs to the thread of the source. It takes every second once, and describes each beat at most one beat
after it came, see `features`.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.beats.features import BeatDescriber, Described
from edge.beats.fibrillation import WINDOW
from edge.beats.snippets import RATE_HZ
from edge.signal.analyzer import AnalyzedSecond
from edge.signal.quality import QualityIssue
from edge.signal.resample import Step, StepResampler

_DELAY = 10  # outputs at 100 Hz: the resampler needs the 0.1 s after each of them
_WINDOW_S = round(WINDOW / RATE_HZ)
NO_WINDOW = np.zeros((0, WINDOW), np.float32)
NO_LEADS = np.zeros(0, np.bool_)


@dataclass(frozen=True, slots=True)
class BeatSecond:
    """The beats that became known in one second. Times are in s from the first sample of the epoch."""

    described: tuple[Described, ...]  # for the beat network, the oldest first
    confirmed_s: float  # every beat before this has been found
    unbroken_since_s: float | None  # the signal has no gap from here on; None during a gap
    quiet: bool  # nothing after the last beat is as high as a beat may be
    waiting: int  # beats that were found and cannot be described yet
    window: NDArray[np.float32]  # (leads, samples) the last 5 s at 100 Hz, mV
    window_keep: NDArray[np.bool_]  # (leads,) True where the lead was good throughout the window


class BeatTracker:
    """Describes the beats of one stream.

    Parameters
    ----------
    leads : number of leads
    sample_rate_hz : native rate

    Raises
    ------
    StreamError
        When the rate cannot be resampled to 100 Hz.
    """

    def __init__(self, leads: int, sample_rate_hz: float) -> None:
        self._rate_hz = sample_rate_hz
        # The first step is shorter, so that a step ends with the last output that a whole second allows.
        first = round(RATE_HZ) - _DELAY
        self._resampler = StepResampler(leads, sample_rate_hz, RATE_HZ, first_step=first, step=round(RATE_HZ))
        self._steps: deque[Step] = deque()  # not in the describer's buffer yet
        self._describer = BeatDescriber(leads)
        self._waiting = 0
        self._good: deque[NDArray[np.bool_]] = deque(maxlen=_WINDOW_S)  # (leads,) of each of the last seconds

    def push(self, samples: NDArray[np.float32], missing: NDArray[np.uint8]) -> None:
        """Take the next (leads, n) samples in mV, with a `Cause` for each."""
        self._steps.extend(self._resampler.push(samples, missing))

    def describe(self, second: AnalyzedSecond) -> BeatSecond:
        """Take the next second, whose samples were pushed before, and return the beats that became known."""
        self._fill(int(second.end_sample / self._rate_hz * RATE_HZ) - _DELAY)
        unbroken_since_s = None if second.unbroken_since is None else second.unbroken_since / self._rate_hz
        good = np.array([issue is QualityIssue.NONE for issue in second.issues])
        self._describer.add([beat / self._rate_hz for beat in second.beats], good, unbroken_since_s)
        described = tuple(self._describer.take())
        self._waiting += len(second.beats) - len(described)
        self._good.append(good)
        window, present = self._describer.buffer.cut(self._describer.buffer.end, before=WINDOW, after=0)
        keep = present & np.all(self._good, axis=0) if len(self._good) == _WINDOW_S else np.zeros(len(good), np.bool_)
        return BeatSecond(
            described,
            second.confirmed_sample / self._rate_hz,
            unbroken_since_s,
            second.heart_rate.pause_s is not None,
            self._waiting,
            window,
            keep,
        )

    def finish(self, end_sample: int) -> BeatSecond:
        """End the stream at a native index and return the beats that are left."""
        for step in (*self._steps, *self._resampler.flush()):
            self._describer.buffer.push(step.values, step.missing)
        self._steps.clear()
        end_s = end_sample / self._rate_hz
        described = tuple(self._describer.take(end_s))
        return BeatSecond(described, end_s, None, False, 0, NO_WINDOW, NO_LEADS)

    def _fill(self, end: int) -> None:
        """Move the steps before an output index into the buffer: what comes later is not known yet in a replay."""
        buffer = self._describer.buffer
        while self._steps and buffer.end + self._steps[0].values.shape[1] <= end:
            step = self._steps.popleft()
            buffer.push(step.values, step.missing)
