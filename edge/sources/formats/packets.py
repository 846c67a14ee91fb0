"""Shared by the decoders of formats without a checksum: finds packets, and checks whether samples are plausible.

Bytes are a packet when start, length and end are where they should be. A damaged packet is lost, but no intact one
after it: the search continues at the very next byte.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.core.samples import Cause
from edge.sources.formats.adc import AdcSpec

MAX_STEP_MV = 20.0  # between two samples; an ECG moves by less than 5 mV, a flipped high bit by far more

Match = Callable[[bytearray, int, bool], int | None]
"""(bytes, position, synced) -> length of the packet at that position; 0: no packet; None: more bytes are needed."""


class Packet(NamedTuple):
    """One packet, and the number of garbage bytes before it."""

    garbage: int
    content: bytes


class PacketFinder:
    """Cuts a stream of bytes into packets; the bytes may arrive in pieces of any size.

    Parameters
    ----------
    start : the first byte of every packet
    match : tells whether there is a packet at a position; it must decide once it has seen the longest possible packet
    counters : `garbage_bytes` and `resyncs` (packets found again after garbage) are counted here
    """

    def __init__(self, start: int, match: Match, counters: Counter[str]) -> None:
        self._start = bytes([start])
        self._match = match
        self._counters = counters
        self._pending = bytearray()
        self._garbage = 0
        self._synced = False

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes and return the packets that they complete."""
        self._pending += data
        packets = []
        position = 0
        while position < len(self._pending):
            size = self._match(self._pending, position, self._synced)
            if size is None:
                break
            if size:
                packets.append(Packet(self._garbage, bytes(self._pending[position : position + size])))
                if self._garbage:
                    self._counters["resyncs"] += 1
                self._garbage, self._synced = 0, True
            else:
                # Not at a packet: drop bytes up to the next one that could begin a packet.
                size = self._to_next_start(position)
                self._counters["garbage_bytes"] += size
                self._garbage, self._synced = self._garbage + size, False
            position += size
        del self._pending[:position]
        return packets

    def _to_next_start(self, position: int) -> int:
        found = self._pending.find(self._start, position + 1)
        return (len(self._pending) if found < 0 else found) - position


class PlausibilityCheck:
    """Finds samples that the electrode cannot have given: at the converter's limits, or a jump from the one before.

    A spike marks two samples, the one that jumps and the one that jumps back. A baseline that moves for good marks one.

    Parameters
    ----------
    spec : of the stream
    limit : the converter's largest value; a sample at it is saturated
    counters : `implausible_samples` are counted here
    floor : its smallest value; by default the negative of the largest
    step_mv : the largest step between two samples
    """

    def __init__(
        self,
        spec: AdcSpec,
        limit: int,
        counters: Counter[str],
        floor: int | None = None,
        step_mv: float = MAX_STEP_MV,
    ) -> None:
        self._limit = limit
        self._floor = -limit if floor is None else floor
        self._max_step = step_mv * np.abs(np.array(spec.gain, np.float64))[:, None]
        self._previous: NDArray[np.int64] | None = None  # (leads, 1), the last sample
        self._counters = counters

    def check(self, adc: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Return (leads, samples) causes for the next (leads, samples) integers."""
        values = adc.astype(np.int64)  # a step between two int32 may not fit 32 bits
        first = values[:, :1] if self._previous is None else self._previous
        step = np.abs(np.diff(values, axis=1, prepend=first))
        implausible = (values >= self._limit) | (values <= self._floor) | (step > self._max_step)
        self._previous = values[:, -1:]
        if implausible.any():
            self._counters["implausible_samples"] += int(implausible.sum())
        causes: NDArray[np.uint8] = np.where(implausible, np.uint8(Cause.INVALID), np.uint8(Cause.PRESENT))
        return causes
