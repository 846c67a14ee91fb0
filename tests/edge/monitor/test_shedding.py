"""Overload: every stream loses the same share, waits stay short, and the overload ends when the load falls."""

import heapq
from collections import Counter, deque

import pytest

from edge.monitor.shedding import Shedder

HOP_S = 1.0
ROOM = 256


def simulate(shedder, streams, capacity, first_s, end_s, phases, batch=4):
    """Simulate streams with a window each hop, and a classifier that takes `capacity` windows a second.

    Returns how many windows of each stream were classified and shed, how long each classified window waited, and how
    often an overload began.
    """
    arrivals = [(first_s + phases(k) * HOP_S, k) for k in range(streams)]
    heapq.heapify(arrivals)
    waiting, kept, shed, waits, free_s, begun = deque(), Counter(), Counter(), [], first_s, 0
    while arrivals and arrivals[0][0] < end_s:
        now_s, stream = heapq.heappop(arrivals)
        heapq.heappush(arrivals, (now_s + HOP_S, stream))
        while waiting and max(free_s, waiting[0]) < now_s:
            taken_s, before = max(free_s, waiting[0]), shedder.overloaded
            jobs = [waiting.popleft() for _ in range(batch) if waiting and waiting[0] <= taken_s]
            waits += [taken_s - arrived_s for arrived_s in jobs]
            free_s = taken_s + len(jobs) / capacity
            shedder.observe(jobs[0], taken_s, free_s)
            begun += shedder.overloaded and not before
        if shedder.keeps(stream, full=len(waiting) >= ROOM):
            kept[stream] += 1
            waiting.append(now_s)
        else:
            shed[stream] += 1
    return kept, shed, waits, begun


PHASES = {
    "spread": lambda k: k * 0.618 % 1.0,
    "in step": lambda k: k * 1e-6,
    "two camps": lambda k: 0.5 * (k % 2) + k * 1e-6,
}


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("times", [1.05, 1.2, 2.0, 5.0])
def test_all_streams_lose_the_same_share_and_the_overload_does_not_flap(name, times):
    shedder = Shedder(HOP_S)
    capacity = 150
    streams = round(times * capacity)
    _, _, _, begun = simulate(shedder, streams, capacity, 0.0, 30.0, PHASES[name])
    kept, shed, waits, again = simulate(shedder, streams, capacity, 30.0, 150.0, PHASES[name])
    assert shedder.overloaded
    assert (begun, again) == (1, 0)
    assert 0.85 * capacity * 120 < sum(kept.values()) < 1.05 * capacity * 120
    assert max(shed.values()) - min(shed.values()) <= 8  # of 120: the credit that a stream may have
    assert max(waits) < ROOM / capacity + HOP_S


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("times", [2.0, 5.0])
def test_the_overload_ends_within_fifteen_hops(name, times):
    """Growth was once limited to steps and stopped by a single long wait: after twice the load it never ended."""
    shedder = Shedder(HOP_S)
    simulate(shedder, round(times * 150), 150, 0.0, 60.0, PHASES[name])
    assert shedder.overloaded
    simulate(shedder, 75, 150, 60.0, 75.0, PHASES[name])
    assert not shedder.overloaded
    _, shed, _, begun = simulate(shedder, 75, 150, 75.0, 175.0, PHASES[name])
    assert not shed
    assert not begun


@pytest.mark.parametrize("name", PHASES)
def test_nothing_is_shed_at_nine_tenths_of_the_capacity(name):
    """Not even when all windows come at once, so that the last one waits for nearly a hop."""
    _, shed, _, begun = simulate(Shedder(HOP_S), 135, 150, 0.0, 120.0, PHASES[name])
    assert not shed
    assert not begun


def test_after_a_short_stall_nothing_is_shed():
    shedder, streams = Shedder(HOP_S), 90
    for second in range(60):  # in every third second the classifier stalls for most of it
        _, shed, _, begun = simulate(shedder, streams, 150 if second % 3 else 60, second, second + 1, PHASES["spread"])
        assert not shed
        assert not begun


def test_a_stream_that_lost_a_window_to_a_full_queue_keeps_its_credit():
    shedder = Shedder(HOP_S)
    assert not shedder.keeps("unlucky", full=True)
    for second in range(3):
        shedder.observe(second - 5.0 - second, float(second), second + 1.0)
    assert shedder.share < 1.0
    assert shedder.keeps("unlucky", full=False)
    shedder.forget("unlucky")
