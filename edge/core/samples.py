"""What travels from a source into the runtime: blocks of samples, and why a sample is missing."""

import enum
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import StreamError


class Cause(enum.IntEnum):
    """Why a sample that should exist could not be classified; 0 means that it is there.

    The names, in lower case, are the keys of every loss report.
    """

    PRESENT = 0
    SEQUENCE_GAP = 1  # the sequence says that it was sent, and it never arrived
    CRC = 2  # its frame arrived damaged
    INVALID = 3  # NaN, or the code that a format reserves for "no value"
    LEAD_OFF = 4  # the front end reported that the electrode was off
    BAD_QUALITY = 5  # it arrived, but no window that holds it was good enough
    OVERRUN = 6  # a bounded buffer on this machine was full
    SILENT = 7  # the source went quiet
    LATE = 8  # it arrived after its place in the sequence had passed
    SHED = 9  # given up on purpose under overload
    TAIL = 10  # the stream ended before a window could hold it

    @property
    def key(self) -> str:
        """The name used in reports, such as `sequence_gap`."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Block:
    """A run of consecutive sample instants of one stream.

    A source keeps `sample_rate_hz` and `leads` the same through an epoch. Blocks come in order; where
    `first_sample` jumps ahead the instants between are missing (`SEQUENCE_GAP`). A source that knows better
    why instants are missing yields them as a block whose `missing` says so. A device that starts to count
    anew begins a new epoch.
    """

    stream: str  # opaque id, unique on this device
    sample_rate_hz: float
    leads: tuple[str, ...]
    first_sample: int  # index of the first instant, as the device counts them
    samples: NDArray[np.float32]  # (leads, samples), mV; the value of a missing sample has no meaning
    missing: NDArray[np.uint8]  # (leads, samples), a `Cause` each; 0 is present
    device_time_s: float  # the device's own clock at the first sample
    last: bool = False  # the stream ends with this block
    epoch: str = ""  # names one unbroken count of samples, such as a device's session
    late: tuple[int, int] = (
        0,
        0,
    )  # (first, end) of instants before it that came now; the missing ones of them came late
    retracts: int = 0  # instants at the end of the epoch before that were taken for silent, and are in this one

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
