"""Overload: every stream loses the same share, waits stay short, and it is over when the load is."""

import heapq
from collections import Counter

import pytest

from edge.shedding import Shedder

HOP_S = 1.0
ROOM = 256


def simulate(shedder, streams, capacity, first_s, end_s, phases):
    """Let each stream have a window each hop, and a classifier take `capacity` of them a second.

    Returns how many windows of each stream were classified and given up, and how long each of the former waited.
    """
    arrivals = [(first_s + phases(k) * HOP_S, k) for k in range(streams)]
    heapq.heapify(arrivals)
    waiting, kept, shed, waits, free_s = [], Counter(), Counter(), [], first_s
    while arrivals and arrivals[0][0] < end_s:
        now_s, stream = heapq.heappop(arrivals)
        heapq.heappush(arrivals, (now_s + HOP_S, stream))
        while waiting and max(free_s, waiting[0]) < now_s:
            arrived_s = waiting.pop(0)
            start_s = max(free_s, arrived_s)
            shedder.observe(start_s - arrived_s, start_s)
            waits.append(start_s - arrived_s)
            free_s = start_s + 1 / capacity
        if shedder.keeps(stream, full=len(waiting) >= ROOM):
            kept[stream] += 1
            waiting.append(now_s)
        else:
            shed[stream] += 1
    return kept, shed, waits


PHASES = {
    "spread": lambda k: k * 0.618 % 1.0,
    "in step": lambda k: k * 1e-6,
    "two camps": lambda k: 0.5 * (k % 2) + k * 1e-6,
}


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("times", [1.2, 2.0, 5.0])
def test_all_streams_lose_the_same_share(name, times):
    shedder = Shedder(HOP_S)
    capacity = 150
    streams = round(times * capacity)
    simulate(shedder, streams, capacity, 0.0, 30.0, PHASES[name])
    kept, shed, waits = simulate(shedder, streams, capacity, 30.0, 150.0, PHASES[name])
    assert shedder.overloaded
    assert 0.75 * capacity * 120 < sum(kept.values()) < 1.05 * capacity * 120
    assert max(shed.values()) - min(shed.values()) <= 0.05 * 120
    assert max(waits) < ROOM / capacity + HOP_S


@pytest.mark.parametrize("name", PHASES)
def test_it_is_over_when_the_load_is(name):
    shedder = Shedder(HOP_S)
    simulate(shedder, 300, 150, 0.0, 60.0, PHASES[name])
    assert shedder.overloaded
    simulate(shedder, 75, 150, 60.0, 90.0, PHASES[name])
    assert not shedder.overloaded
    _, shed, _ = simulate(shedder, 75, 150, 90.0, 150.0, PHASES[name])
    assert not shed


def test_nothing_is_shed_at_nine_tenths_of_the_capacity():
    _, shed, waits = simulate(Shedder(HOP_S), 135, 150, 0.0, 120.0, PHASES["spread"])
    assert not shed
    assert max(waits) < 0.1


def test_a_stream_that_met_a_full_queue_goes_before_others():
    shedder = Shedder(HOP_S)
    assert not shedder.keeps("unlucky", full=True)
    shedder.observe(10.0, 0.0)  # from here on the share is less than 1
    assert shedder.keeps("unlucky", full=False)
    shedder.forget("unlucky")
