"""Payloads of many devices that wait to be read: each device has a lane, lanes take turns, and each is bounded.

So a device that floods loses its own payloads, and the others are read as if it were not there. Names that no stream
has yet share one lane: whoever invents thousands of them competes with newcomers alone. One thread puts, one gets.
Time is handed in; knows nothing of brokers or of what a payload means.
"""

import math
import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

_UNIT_BYTES = 4096  # a payload counts as one for each 4 KB that it begins
_AT_ONCE_S = 10.0  # so many seconds' worth may come at once


class Waiting(Protocol):
    """What waits."""

    @property
    def stream(self) -> str:
        """Whose it is."""

    @property
    def payload(self) -> bytes:
        """Its bytes."""


W = TypeVar("W", bound=Waiting)


class Allowance:
    """So much a second, and so much at once: a token bucket.

    Parameters
    ----------
    per_s : what is given each second; infinity gives all that is asked
    at_once : what there is at most
    """

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._left = at_once
        self._at_s = float("-inf")

    def take(self, cost: float, now_s: float) -> bool:
        """Take what something costs, if there is so much; `now_s` is of a clock that never steps."""
        if math.isinf(self._per_s):
            return True
        earned = (now_s - self._at_s) * self._per_s
        self._left, self._at_s = min(self._left + earned, self._at_once), now_s
        if self._left < cost:
            return False
        self._left -= cost
        return True


class _Lane(Generic[W]):
    def __init__(self, most: int, allowance: Allowance) -> None:
        self.waiting: deque[W] = deque()
        self.most = most
        self.allowance = allowance


class Lanes(Generic[W]):
    """The lanes of one source.

    Parameters
    ----------
    most : payloads that may wait in one lane
    most_bytes : bytes that may wait in all; beyond that the fullest lane loses its newest
    per_s : payloads a second of one device; a large one counts for each 4 KB
    strangers : payloads that may wait in, and come at once to, the lane that new names share, if that is more
    """

    def __init__(self, most: int, most_bytes: int, per_s: float, strangers: int) -> None:
        self._most, self._most_bytes, self._per_s = most, most_bytes, per_s
        self._ready = threading.Condition()
        self._own: dict[str, _Lane[W]] = {}
        at_once = max(per_s * _AT_ONCE_S, strangers)
        self._strangers: _Lane[W] = _Lane(max(most, strangers), Allowance(per_s, at_once))
        self._turns: deque[_Lane[W]] = deque()  # lanes in which something waits
        self._bytes = 0

    def allows(self, stream: str, size: int, now_s: float) -> bool:
        """Whether a stream may send a payload of so many bytes now; it is counted against it."""
        with self._ready:
            lane = self._own.get(stream, self._strangers)
            return lane.allowance.take(1 + size // _UNIT_BYTES, now_s)

    def put(self, item: W) -> list[str]:
        """Let a payload wait; return the streams that lost one for it, which may be its own."""
        with self._ready:
            lane = self._own.get(item.stream, self._strangers)
            if len(lane.waiting) >= lane.most:
                return [item.stream]
            lost: list[str] = []
            while self._turns and self._bytes + len(item.payload) > self._most_bytes:
                fullest = max(self._turns, key=lambda each: len(each.waiting))
                if len(lane.waiting) >= len(fullest.waiting):
                    return [*lost, item.stream]
                lost.append(self._drop_newest(fullest).stream)
            if not lane.waiting:
                self._turns.append(lane)
            lane.waiting.append(item)
            self._bytes += len(item.payload)
            self._ready.notify()
            return lost

    def get(self, timeout_s: float) -> W | None:
        """Return the oldest payload of the lane whose turn it is; None when none comes in time."""
        with self._ready:
            if not self._ready.wait_for(lambda: bool(self._turns), timeout_s):
                return None
            lane = self._turns.popleft()
            item = lane.waiting.popleft()
            self._bytes -= len(item.payload)
            if lane.waiting:
                self._turns.append(lane)
            return item

    def own(self, stream: str) -> None:
        """Give a stream a lane of its own, and move there what waits of it, in order."""
        with self._ready:
            if stream in self._own:
                return
            lane = self._own[stream] = _Lane(self._most, Allowance(self._per_s, self._per_s * _AT_ONCE_S))
            mine = [item for item in self._strangers.waiting if item.stream == stream]
            if mine:
                others = [item for item in self._strangers.waiting if item.stream != stream]
                lane.waiting.extend(mine)
                self._turns.append(lane)
                self._strangers.waiting = deque(others)
                if not others:
                    self._turns.remove(self._strangers)

    def share(self, stream: str) -> None:
        """Take a stream's lane away; what waits in it goes behind the other strangers', in order."""
        with self._ready:
            lane = self._own.pop(stream, None)
            if lane is None or not lane.waiting:
                return
            self._turns.remove(lane)
            if not self._strangers.waiting:
                self._turns.append(self._strangers)
            self._strangers.waiting.extend(lane.waiting)

    def _drop_newest(self, lane: _Lane[W]) -> W:
        item = lane.waiting.pop()
        self._bytes -= len(item.payload)
        if not lane.waiting:
            self._turns.remove(lane)
        return item
