"""What a source yields: blocks of samples, and for each missing sample the cause."""

import enum
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import StreamError


class Cause(enum.IntEnum):
    """Why a sample that should exist could not be classified; 0 means that it is present.

    Reports use the names in lower case as keys.
    """

    PRESENT = 0
    SEQUENCE_GAP = 1  # the device counted it, but it never arrived
    CRC = 2  # its frame arrived damaged
    INVALID = 3  # NaN, or the code that a format reserves for "no value"
    LEAD_OFF = 4  # the front end reported that the electrode was off
    BAD_QUALITY = 5  # it arrived, but no window that holds it was good
    OVERRUN = 6  # a bounded buffer on this machine was full
    SILENT = 7  # the source stopped sending
    LATE = 8  # it arrived after later samples were taken
    SHED = 9  # its windows were dropped under overload
    TAIL = 10  # the stream ended before a window could hold it

    @property
    def key(self) -> str:
        """The name used in reports, such as `sequence_gap`."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive sample instants of one stream.

    The blocks of a stream come in order. Where `first_sample` jumps ahead, the instants between are missing with the
    cause `SEQUENCE_GAP`. A source that knows the cause yields those instants as a block with that cause in `missing`.

    An epoch is one unbroken count of samples. A device that counts from 0 again begins a new epoch. Rate and leads
    stay the same within an epoch.
    """

    stream: str  # opaque id, unique on this device
    sample_rate_hz: float
    leads: tuple[str, ...]
    first_sample: int  # index of the first instant, as the device counts them
    samples: NDArray[np.float32]  # (leads, samples), mV; the value of a missing sample has no meaning
    missing: NDArray[np.uint8]  # (leads, samples), a `Cause` each; 0: present
    device_time_s: float  # the device's own clock at the first sample
    last: bool = False  # the stream ends with this block
    epoch: str = ""  # as the device names it, such as the number of its session
    late: tuple[int, int] = (0, 0)  # (first, end) of earlier instants that arrived only now: if missing, they are late
    retracts: int = 0  # last instants of the epoch before: counted there as silent, but they are part of this epoch

    def __post_init__(self) -> None:
        """Raise StreamError when the shapes contradict each other."""
        if self.samples.ndim != 2 or self.samples.shape[0] != len(self.leads):
            raise StreamError(f"samples of shape {self.samples.shape} do not fit {len(self.leads)} leads")
        if self.missing.shape != self.samples.shape:
            raise StreamError(f"mask of shape {self.missing.shape} does not fit samples of {self.samples.shape}")
        if self.first_sample < 0 or self.retracts < 0:
            raise StreamError(f"negative sample index {min(self.first_sample, self.retracts)}")

    @property
    def end_sample(self) -> int:
        """Index of the instant after the last one."""
        return self.first_sample + int(self.samples.shape[1])

    def without_first(self, instants: int) -> "Block":
        """Return the block without its first instants."""
        if not instants:
            return self
        return replace(
            self,
            first_sample=self.first_sample + instants,
            samples=self.samples[:, instants:],
            missing=self.missing[:, instants:],
            device_time_s=self.device_time_s + instants / self.sample_rate_hz,
        )


def mark_invalid(samples: NDArray[np.float32], missing: NDArray[np.uint8]) -> None:
    """Mark, in place, every present sample that is not finite as `Cause.INVALID` and set it to 0."""
    bad = ~np.isfinite(samples)
    if bad.any():
        missing[bad & (missing == Cause.PRESENT)] = Cause.INVALID
        samples[bad] = 0.0
