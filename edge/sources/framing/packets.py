"""What the decoders of wires without a checksum share: finding packets in bytes, and doubting their samples.

A packet is what looks like one: start, length and end stand where they should. A damaged packet costs itself, and no
intact one behind it: the search goes on at the very next byte. Knows neither format nor stream. Pure.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.core.samples import Cause
from edge.sources.framing.adc import AdcSpec

MAX_STEP_MV = 20.0  # from one sample to the next; the ECG moves by less than 5, a flipped high bit by far more

Match = Callable[[bytearray, int, bool], int | None]
"""(bytes, place, in step) -> length of the packet at that place, 0 where there is none, None where bytes are needed."""


class Packet(NamedTuple):
    """One packet, and how many bytes before it belong to none."""

    garbage: int
    content: bytes


class PacketFinder:
    """Cuts a stream of bytes into packets, however it arrives.

    Parameters
    ----------
    start : the byte with which every packet begins
    match : says whether a packet stands at a place; must decide once it has seen the longest possible packet
    counters : `garbage_bytes` and `resyncs` (packets that were found again behind garbage) are counted here
    """

    def __init__(self, start: int, match: Match, counters: Counter[str]) -> None:
        self._start = bytes([start])
        self._match = match
        self._counters = counters
        self._pending = bytearray()
        self._garbage = 0
        self._in_step = False

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes and return the packets that they complete."""
        self._pending += data
        packets = []
        place = 0
        while place < len(self._pending):
            size = self._match(self._pending, place, self._in_step)
            if size is None:
                break
            if size:
                packets.append(Packet(self._garbage, bytes(self._pending[place : place + size])))
                if self._garbage:
                    self._counters["resyncs"] += 1
                self._garbage, self._in_step = 0, True
            else:
                size = self._to_next_start(place)
                self._counters["garbage_bytes"] += size
                self._garbage, self._in_step = self._garbage + size, False
            place += size
        del self._pending[:place]
        return packets

    def _to_next_start(self, place: int) -> int:
        found = self._pending.find(self._start, place + 1)
        return (len(self._pending) if found < 0 else found) - place


class Plausibility:
    """Doubts samples that the converter cannot have meant: at its limits, or a leap away from the one before.

    A leap marks the sample that leaps and the one that leaps back; a baseline that moves for good costs one sample.

    Parameters
    ----------
    spec : of the stream
    limit : the converter's largest value; at it or beyond it is saturated
    counters : `implausible_samples` are counted here
    floor : its smallest value; the negative of the largest where none is named
    step_mv : how far one sample may be from the one before
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
        self._step = step_mv * np.abs(np.array(spec.gain, np.float64))[:, None]
        self._before: NDArray[np.int64] | None = None  # (leads, 1), the last sample
        self._counters = counters

    def judge(self, adc: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Return (leads, samples) causes for the next (leads, samples) integers."""
        values = adc.astype(np.int64)
        first = values[:, :1] if self._before is None else self._before
        step = np.abs(np.diff(values, axis=1, prepend=first))
        doubtful = (values >= self._limit) | (values <= self._floor) | (step > self._step)
        self._before = values[:, -1:]
        if doubtful.any():
            self._counters["implausible_samples"] += int(doubtful.sum())
        causes: NDArray[np.uint8] = np.where(doubtful, np.uint8(Cause.INVALID), np.uint8(Cause.PRESENT))
        return causes
