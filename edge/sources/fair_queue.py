"""A fair queue of payloads from many devices: each device has a lane, lanes take turns, and each lane is bounded.

So a device that floods loses only its own payloads, and all others are read as usual. Streams that are not known yet
share one lane: whoever invents thousands of ids competes only with other newcomers. One thread puts, one thread gets.
"""

import math
import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

_UNIT_BYTES = 4096  # a payload counts as one for each 4 KB that it begins
_BURST_S = 10.0  # payloads of this many seconds may come at once


class Queued(Protocol):
    """An item of the queue."""

    @property
    def stream(self) -> str:
        """Id of its stream."""

    @property
    def payload(self) -> bytes:
        """Its bytes."""


Q = TypeVar("Q", bound=Queued)


class TokenBucket:
    """Limits a rate, and allows a burst.

    Parameters
    ----------
    per_s : tokens that are added each second; infinity allows everything
    capacity : most tokens in the bucket
    """

    def __init__(self, per_s: float, capacity: float) -> None:
        self._per_s, self._capacity = per_s, capacity
        self._tokens = capacity
        self._at_s = float("-inf")

    def take(self, cost: float, now_s: float) -> bool:
        """Take `cost` tokens if there are enough; `now_s` is of a monotonic clock."""
        if math.isinf(self._per_s):
            return True
        earned = (now_s - self._at_s) * self._per_s
        self._tokens, self._at_s = min(self._tokens + earned, self._capacity), now_s
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True


class _Lane(Generic[Q]):
    def __init__(self, capacity: int, bucket: TokenBucket) -> None:
        self.items: deque[Q] = deque()
        self.capacity = capacity
        self.bucket = bucket


class FairQueue(Generic[Q]):
    """The payloads of one source that wait to be read.

    Parameters
    ----------
    capacity : most payloads in one lane
    max_bytes : most bytes in all lanes; when they are exceeded, the fullest lane loses its newest payloads
    per_s : payloads per second of one stream; each 4 KB counts as one
    newcomers : capacity and burst of the lane that unknown streams share, if that is more
    """

    def __init__(self, capacity: int, max_bytes: int, per_s: float, newcomers: int) -> None:
        self._capacity, self._max_bytes, self._per_s = capacity, max_bytes, per_s
        self._ready = threading.Condition()
        self._lanes: dict[str, _Lane[Q]] = {}
        burst = max(per_s * _BURST_S, newcomers)
        self._newcomers: _Lane[Q] = _Lane(max(capacity, newcomers), TokenBucket(per_s, burst))
        self._turns: deque[_Lane[Q]] = deque()  # the lanes that are not empty, in the order of their turns
        self._bytes = 0

    def allows(self, stream: str, size: int, now_s: float) -> bool:
        """Whether a stream may send `size` bytes now; they count against its rate."""
        with self._ready:
            lane = self._lanes.get(stream, self._newcomers)
            return lane.bucket.take(1 + size // _UNIT_BYTES, now_s)

    def put(self, item: Q) -> list[str]:
        """Add a payload; return the streams that lost one for it, its own stream where it was refused."""
        with self._ready:
            lane = self._lanes.get(item.stream, self._newcomers)
            if len(lane.items) >= lane.capacity:
                return [item.stream]
            lost: list[str] = []
            while self._turns and self._bytes + len(item.payload) > self._max_bytes:
                fullest = max(self._turns, key=lambda each: len(each.items))
                if len(lane.items) >= len(fullest.items):
                    return [*lost, item.stream]
                lost.append(self._drop_newest(fullest).stream)
            if not lane.items:
                self._turns.append(lane)
            lane.items.append(item)
            self._bytes += len(item.payload)
            self._ready.notify()
            return lost

    def get(self, timeout_s: float) -> Q | None:
        """Return the oldest payload of the lane whose turn it is; None when none comes in time."""
        with self._ready:
            if not self._ready.wait_for(lambda: bool(self._turns), timeout_s):
                return None
            lane = self._turns.popleft()
            item = lane.items.popleft()
            self._bytes -= len(item.payload)
            if lane.items:
                self._turns.append(lane)
            return item

    def add_stream(self, stream: str) -> None:
        """Give a stream its own lane, and move its payloads there in order."""
        with self._ready:
            if stream in self._lanes:
                return
            lane = self._lanes[stream] = _Lane(self._capacity, TokenBucket(self._per_s, self._per_s * _BURST_S))
            own = [item for item in self._newcomers.items if item.stream == stream]
            if own:
                others = [item for item in self._newcomers.items if item.stream != stream]
                lane.items.extend(own)
                self._turns.append(lane)
                self._newcomers.items = deque(others)
                if not others:
                    self._turns.remove(self._newcomers)

    def remove_stream(self, stream: str) -> None:
        """Remove a stream's lane; its payloads go to the end of the newcomers' lane, in order."""
        with self._ready:
            lane = self._lanes.pop(stream, None)
            if lane is None or not lane.items:
                return
            self._turns.remove(lane)
            if not self._newcomers.items:
                self._turns.append(self._newcomers)
            self._newcomers.items.extend(lane.items)

    def _drop_newest(self, lane: _Lane[Q]) -> Q:
        item = lane.items.pop()
        self._bytes -= len(item.payload)
        if not lane.items:
            self._turns.remove(lane)
        return item
