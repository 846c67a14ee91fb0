"""Lanes: order within a device, turns between devices, and what is lost when there is too much."""

import math
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sources.lanes import Allowance, Lanes


class Item(NamedTuple):
    """A payload that waits."""

    stream: str
    payload: bytes
    number: int = 0


def lanes(most=8, most_bytes=1 << 20, per_s=math.inf, strangers=8) -> Lanes[Item]:
    return Lanes(most, most_bytes, per_s, strangers)


def drained(queue) -> list[Item]:
    return list(iter(lambda: queue.get(0), None))


def test_devices_take_turns_however_much_one_sends() -> None:
    queue = lanes()
    for stream in ("flood", "bed1", "bed2"):
        queue.own(stream)
    lost = [loser for number in range(1000) for loser in queue.put(Item("flood", b"x", number))]
    for stream in ("bed1", "bed2"):
        assert queue.put(Item(stream, b"x")) == []
    assert lost == ["flood"] * 992
    assert [item.stream for item in drained(queue)[:4]] == ["flood", "bed1", "bed2", "flood"]


def test_invented_names_share_one_lane() -> None:
    queue = lanes()
    queue.own("bed")
    lost = [loser for number in range(5000) for loser in queue.put(Item(f"x{number}", b"x"))]
    assert len(lost) == 5000 - 8
    assert queue.put(Item("bed", b"x")) == []
    assert [item.stream for item in drained(queue)][1] == "bed"


def test_when_all_are_too_many_the_fullest_lane_loses() -> None:
    queue = lanes(most=100, most_bytes=1000)
    queue.own("a")
    queue.own("b")
    for number in range(10):
        assert queue.put(Item("a", b"x" * 100, number)) == []
    assert queue.put(Item("b", b"x" * 150)) == ["a", "a"]
    assert queue.put(Item("a", b"x" * 150)) == ["a"]
    assert [(item.stream, item.number) for item in drained(queue)] == [
        ("a", 0),
        ("b", 0),
        *(("a", number) for number in range(1, 8)),
    ]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["put", "get", "own", "share"]), st.sampled_from("abc")), max_size=30))
def test_whatever_becomes_of_its_lane_a_device_stays_in_order(steps) -> None:
    queue, sent, got, lost = lanes(most=5, strangers=5), 0, [], []
    for what, stream in steps:
        match what:
            case "put":
                lost += queue.put(Item(stream, b"x" * 10, sent))
                sent += 1
            case "get":
                got += filter(None, [queue.get(0)])
            case "own":
                queue.own(stream)
            case "share":
                queue.share(stream)
    got += drained(queue)
    assert len(got) + len(lost) == sent
    assert queue._bytes == 0
    for stream in "abc":
        numbers = [item.number for item in got if item.stream == stream]
        assert numbers == sorted(numbers)


def test_so_much_a_second_and_so_much_at_once() -> None:
    allowance = Allowance(per_s=2.0, at_once=5.0)
    assert [allowance.take(1.0, 100.0) for _ in range(6)] == [True] * 5 + [False]
    assert [allowance.take(1.0, 101.0) for _ in range(3)] == [True, True, False]
    assert [allowance.take(1.0, 1e6) for _ in range(6)] == [True] * 5 + [False]
    assert all(Allowance(math.inf, math.inf).take(1e9, 5.0) for _ in range(3))


def test_a_device_has_its_own_allowance_and_large_payloads_count_for_more() -> None:
    queue = lanes(per_s=1.0, strangers=1)
    queue.own("flood")
    queue.own("bed")
    assert sum(queue.allows("flood", 10, 0.0) for _ in range(100)) == 10
    assert queue.allows("bed", 5 * 4096, 0.0)
    assert not queue.allows("bed", 5 * 4096, 0.0)
    assert queue.allows("bed", 10, 0.0)
