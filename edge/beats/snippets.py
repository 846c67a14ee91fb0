"""The stretch of signal around each beat, at 100 Hz, from a stream of which only the last seconds are kept.

A causal high-pass removes offset and wander. Where a lead is missing its last value is held, and where it comes back
its offset is taken over, so that a gap makes no step. Any cut of the stream into blocks gives the same snippets.
"""

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE_HZ = 100.0
BEFORE, AFTER = 50, 70  # samples of a snippet before and from the beat on: -0.5 to +0.7 s
LENGTH = BEFORE + AFTER
_HIGH_PASS_HZ = 0.5  # lower edge of the monitoring band, AHA 2007
_LIMIT_MV = 10.0
_KEPT_S = 16.0
_BAD = 0.2  # a snippet of which more is missing is not kept


@functools.cache
def _high_pass() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    numerator, denominator = signal.butter(2, _HIGH_PASS_HZ, "highpass", fs=RATE_HZ)
    return numerator, denominator


class SnippetBuffer:
    """The last seconds of one stream.

    Parameters
    ----------
    leads : number of leads
    """

    def __init__(self, leads: int) -> None:
        self._size = round(_KEPT_S * RATE_HZ)
        self._values = np.zeros((leads, 2 * self._size), np.float32)  # (leads, samples) mV
        self._missing = np.ones((leads, 2 * self._size), np.bool_)
        self._filled = self._size  # columns in use; what lies before the first sample is missing
        self._state = np.zeros((leads, 2))
        self._offset = np.zeros(leads)  # (leads,) mV
        self._held = np.zeros(leads)  # last value without offset
        self._gone = np.ones(leads, np.bool_)  # the last sample was missing
        self.end = 0  # index at 100 Hz after the last sample

    def push(self, values: NDArray[np.float32], missing: NDArray[np.bool_]) -> None:
        """Take the next (leads, n) samples in mV at 100 Hz; `missing` is True where a value has no meaning."""
        for start in range(0, values.shape[1], self._size):
            self._push(values[:, start : start + self._size], missing[:, start : start + self._size])

    def _push(self, values: NDArray[np.float32], missing: NDArray[np.bool_]) -> None:
        numerator, denominator = _high_pass()
        steady = self._bridge(values.astype(np.float64), missing)
        filtered, self._state = signal.lfilter(numerator, denominator, steady, axis=1, zi=self._state)
        count = values.shape[1]
        if self._filled + count > self._values.shape[1]:
            self._compact()
        part = slice(self._filled, self._filled + count)
        self._values[:, part] = np.clip(filtered, -_LIMIT_MV, _LIMIT_MV)
        self._missing[:, part] = missing
        self._filled += count
        self.end += count

    def _bridge(self, values: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the samples without offset; missing ones have the value before."""
        if not missing.any() and not self._gone.any():
            steady = values - self._offset[:, None]
        else:
            steady = np.empty_like(values)
            for lead in range(len(values)):
                steady[lead] = self._bridge_lead(lead, values[lead], missing[lead])
        self._held = steady[:, -1].copy()
        self._gone = missing[:, -1].copy()
        return steady

    def _bridge_lead(self, lead: int, values: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
        edges = np.flatnonzero(np.diff(missing, prepend=bool(self._gone[lead])))
        steady, held, start = np.empty_like(values), float(self._held[lead]), 0
        for end in [*edges.tolist(), values.size]:
            if end > start:
                if missing[start]:
                    steady[start:end] = held
                else:
                    steady[start:end] = values[start:end] - self._offset[lead]
                held = float(steady[end - 1])
            if end < values.size and not missing[end]:
                self._offset[lead] = values[end] - held
            start = end
        return steady

    def _compact(self) -> None:
        keep = slice(self._filled - self._size, self._filled)
        self._values[:, : self._size] = self._values[:, keep]
        self._missing[:, : self._size] = self._missing[:, keep]
        self._filled = self._size

    def cut(
        self, centre: int, before: int = BEFORE, after: int = AFTER
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the (leads, before + after) snippet around an index in mV, and (leads,) True where it can be used.

        What has not come yet is 0. Raises IndexError where the beginning is no longer there.
        """
        first = centre - before - self.end + self._filled
        if first < 0:
            raise IndexError(f"sample {centre} at 100 Hz is no longer kept")
        part = slice(first, min(first + before + after, self._filled))
        there = max(part.stop - part.start, 0)
        snippet = np.zeros((len(self._values), before + after), np.float32)
        snippet[:, :there] = self._values[:, part]
        gone = self._missing[:, part].sum(axis=1)
        return snippet, gone <= _BAD * (before + after)
