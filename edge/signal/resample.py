"""Resampling of a stream to the model's rate, one step at a time.

A step is a fixed number of output samples. So the filter sees the same slices however the stream was cut into blocks,
and any cut gives the same bits.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy  # not `scipy.signal`: scipy imports it on first use, as it takes most of a second
from numpy.typing import NDArray

from edge.core.errors import StreamError
from edge.core.samples import Cause

_MIN_RATE_HZ, _MAX_RATE_HZ = 50.0, 4000.0
_MAX_FACTOR = 1000  # the ratio of the rates is a fraction with terms up to this
_HALF_ZEROS = 10  # zero crossings on each side of the filter, as scipy.signal.resample_poly chooses


@functools.lru_cache(maxsize=64)  # bounded: any device may name any rate
def resampling_ratio(rate_in_hz: float, rate_out_hz: float) -> tuple[int, int]:
    """Return (up, down) with rate_out = rate_in * up / down, or raise StreamError when that is not possible."""
    if not _MIN_RATE_HZ <= rate_in_hz <= _MAX_RATE_HZ:
        raise StreamError(f"sample rate {rate_in_hz:g} Hz is not in {_MIN_RATE_HZ:g} to {_MAX_RATE_HZ:g} Hz")
    ratio = (Fraction(rate_out_hz) / Fraction(rate_in_hz)).limit_denominator(_MAX_FACTOR)
    if abs(float(ratio) * rate_in_hz / rate_out_hz - 1) > 1e-9 or ratio.numerator > _MAX_FACTOR:
        raise StreamError(
            f"sample rate {rate_in_hz:g} Hz is not a simple fraction of the model's {rate_out_hz:g} Hz; "
            "give the nominal rate of the device, such as 250 or 360"
        )
    return ratio.numerator, ratio.denominator


@functools.lru_cache(maxsize=64)
def _filter(up: int, down: int) -> tuple[NDArray[np.float32], int]:
    """Return the anti-aliasing filter, with zeros in front so that its middle is a multiple of `down`, and that middle.

    The Kaiser design is the one of `scipy.signal.resample_poly`, so that the two agree. Equal rates need no filter.
    """
    if up == down:
        return np.ones(1, np.float32), 0
    wide = max(up, down)
    half = _HALF_ZEROS * wide
    taps = scipy.signal.firwin(2 * half + 1, 1.0 / wide, window=("kaiser", 5.0)) * up
    leading = -half % down
    padded = np.concatenate([np.zeros(leading), taps]).astype(np.float32)
    return padded, half + leading


def look_ahead(rate_in_hz: float, rate_out_hz: float) -> int:
    """Return how many native instants after the end of a step must have arrived before it can be computed."""
    up, down = resampling_ratio(rate_in_hz, rate_out_hz)
    return (_half_width(up, down) - down) // up + 1


def _half_width(up: int, down: int) -> int:
    """Return how far the filter reaches to each side, in periods of `up` times the native rate."""
    return _HALF_ZEROS * max(up, down) if up != down else 0


@dataclass(frozen=True, slots=True)
class Step:
    """The next run of output samples; new arrays."""

    values: NDArray[np.float32]  # (leads, outputs), mV, at the model's rate
    missing: NDArray[np.bool_]  # (leads, outputs), True where the filter's support holds a missing sample
    causes: NDArray[np.uint8]  # (outputs,), a `Cause`: why the instant is missing in every lead; 0 where one has it


class StepResampler:
    """Turns native samples of one stream into steps at the model's rate.

    Parameters
    ----------
    leads : number of leads
    rate_in_hz, rate_out_hz : native rate and the model's rate
    first_step, step : length in output samples of the first step and of every later one

    Output `m` lies exactly at native time `m * down / up`. It needs the native samples up to 10 sample periods later,
    of the lower of the two rates: 0.1 s at 100 Hz. The signal is continued as a constant before the first and after
    the last sample, as `resample_poly(..., padtype="edge")` does. An output is missing if its filter support touches a
    missing sample, so a gap never leaks into a value that is used.
    """

    def __init__(self, leads: int, rate_in_hz: float, rate_out_hz: float, *, first_step: int, step: int) -> None:
        self._up, self._down = resampling_ratio(rate_in_hz, rate_out_hz)
        self._taps, self._middle = _filter(self._up, self._down)
        self._half = _half_width(self._up, self._down)
        self._step = step
        self._next_end = first_step  # the output index at which the next step ends
        self._next = 0  # the next output index
        margin = -(-self._half // self._up)  # filter support on each side, in native samples
        self._pad = -(-margin // self._down) * self._down
        capacity = self.native_index(max(first_step, step)) + 2 * self._pad + 4 * self._down + 2
        self._values = np.zeros((leads, capacity), np.float32)
        self._missing = np.zeros((leads, capacity), np.uint8)
        self._start = -self._pad  # native index of the first column; always a multiple of `down`
        self._filled = self._pad  # columns in use; the first ones repeat the first sample
        self._begun = False

    def native_index(self, output: int) -> int:
        """Index of the first native instant at or after an output instant."""
        return -(-output * self._down // self._up)

    def output_count(self, native: int) -> int:
        """Return how many outputs lie before a native instant."""
        return -(-native * self._up // self._down)

    def push(self, samples: NDArray[np.float32], missing: NDArray[np.uint8]) -> Iterator[Step]:
        """Take (leads, n) samples that follow the last ones and yield each step that they complete."""
        taken = 0
        while taken < samples.shape[1]:
            room = min(samples.shape[1] - taken, self._needed(self._next_end) - self._arrived)
            self._append(samples[:, taken : taken + room], missing[:, taken : taken + room])
            taken += room
            if self._arrived >= self._needed(self._next_end):
                yield self._emit(self._next_end, self._arrived)

    def flush(self) -> Iterator[Step]:
        """End the stream: yield the rest; the last step may be shorter than the others."""
        if not self._begun:
            return
        arrived = self._arrived
        outputs = self.output_count(arrived)
        edge = np.repeat(self._values[:, self._filled - 1 : self._filled], self._pad + 1, axis=1)
        while self._next < outputs:
            end = min(self._next_end, outputs)
            short = self._needed(end) - self._arrived
            if short > 0:
                self._append(edge[:, :short], np.zeros(edge[:, :short].shape, np.uint8))
            yield self._emit(end, arrived)

    def _needed(self, output_end: int) -> int:
        """Return how many native samples the outputs before `output_end` need."""
        return ((output_end - 1) * self._down + self._half) // self._up + 1

    @property
    def _arrived(self) -> int:
        return self._start + self._filled

    def _append(self, samples: NDArray[np.float32], missing: NDArray[np.uint8]) -> None:
        if not self._begun:
            self._values[:, : self._pad] = np.where(missing[:, :1] == Cause.PRESENT, samples[:, :1], 0.0)
            self._begun = True
        at, end = self._filled, self._filled + samples.shape[1]
        self._values[:, at:end] = samples
        self._missing[:, at:end] = missing
        self._filled = end
        if missing.any():
            self._hold(at, end)

    def _hold(self, at: int, end: int) -> None:
        """Give missing samples the last present value; it is never used, but keeps the filter's sums finite."""
        columns = np.arange(at, end)
        for lead in np.flatnonzero(self._missing[:, at:end].any(axis=1)):
            before = max(at - 1, 0)
            source = np.where(self._missing[lead, at:end] == Cause.PRESENT, columns, before)
            self._values[lead, at:end] = self._values[lead, np.maximum.accumulate(source)]

    def _emit(self, end: int, arrived: int) -> Step:
        """Compute the outputs from the next one up to `end`, and drop the samples that no later output needs."""
        first = self._next
        skip = (self._middle - self._start * self._up) // self._down
        outputs = scipy.signal.upfirdn(self._taps, self._values[:, : self._filled], self._up, self._down, axis=1)
        values = np.ascontiguousarray(outputs[:, first + skip : end + skip])
        centre = np.minimum(-(-np.arange(first, end) * self._down // self._up), arrived - 1) - self._start
        step = Step(values, self._output_missing(first, end), self._missing[:, centre].min(axis=0))
        self._next = end
        if end == self._next_end:
            self._next_end += self._step
        self._compact()
        return step

    def _output_missing(self, first: int, end: int) -> NDArray[np.bool_]:
        gone = self._missing[:, : self._filled] != Cause.PRESENT
        if not gone.any():
            return np.zeros((gone.shape[0], end - first), np.bool_)
        counts = np.zeros((gone.shape[0], self._filled + 1), np.int32)
        np.cumsum(gone, axis=1, out=counts[:, 1:])
        centre = np.arange(first, end) * self._down
        low = np.maximum(-((self._half - centre) // self._up) - self._start, 0)
        high = np.minimum((centre + self._half) // self._up + 1 - self._start, self._filled)
        result: NDArray[np.bool_] = counts[:, high] > counts[:, low]
        return result

    def _compact(self) -> None:
        earliest = -((self._half - self._next * self._down) // self._up)
        shift = max(earliest // self._down * self._down - self._start, 0)
        keep = self._filled - shift
        self._values[:, :keep] = self._values[:, shift : self._filled]
        self._missing[:, :keep] = self._missing[:, shift : self._filled]
        self._start += shift
        self._filled = keep
