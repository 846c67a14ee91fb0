"""The fair queue: order within a device, turns between devices, and what is lost when it is full."""

import math
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sources.fair_queue import FairQueue, TokenBucket


class Item(NamedTuple):
    """A payload that waits."""

    stream: str
    payload: bytes
    number: int = 0


def fair_queue(capacity=8, max_bytes=1 << 20, per_s=math.inf, newcomers=8) -> FairQueue[Item]:
    return FairQueue(capacity, max_bytes, per_s, newcomers)


def drained(queue) -> list[Item]:
    return list(iter(lambda: queue.get(0), None))


def test_devices_take_turns_however_much_one_sends() -> None:
    queue = fair_queue()
    for stream in ("flood", "bed1", "bed2"):
        queue.add_stream(stream)
    lost = [loser for number in range(1000) for loser in queue.put(Item("flood", b"x", number))]
    for stream in ("bed1", "bed2"):
        assert queue.put(Item(stream, b"x")) == []
    assert lost == ["flood"] * 992
    assert [item.stream for item in drained(queue)[:4]] == ["flood", "bed1", "bed2", "flood"]


def test_unknown_streams_share_one_lane() -> None:
    queue = fair_queue()
    queue.add_stream("bed")
    lost = [loser for number in range(5000) for loser in queue.put(Item(f"x{number}", b"x"))]
    assert len(lost) == 5000 - 8
    assert queue.put(Item("bed", b"x")) == []
    assert [item.stream for item in drained(queue)][1] == "bed"


def test_when_the_bytes_are_too_many_the_fullest_lane_loses() -> None:
    queue = fair_queue(capacity=100, max_bytes=1000)
    queue.add_stream("a")
    queue.add_stream("b")
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
@given(st.lists(st.tuples(st.sampled_from(["put", "get", "add", "remove"]), st.sampled_from("abc")), max_size=30))
def test_a_device_stays_in_order_whatever_happens_to_its_lane(steps) -> None:
    queue, sent, got, lost = fair_queue(capacity=5, newcomers=5), 0, [], []
    for step, stream in steps:
        match step:
            case "put":
                lost += queue.put(Item(stream, b"x" * 10, sent))
                sent += 1
            case "get":
                got += filter(None, [queue.get(0)])
            case "add":
                queue.add_stream(stream)
            case "remove":
                queue.remove_stream(stream)
    got += drained(queue)
    assert len(got) + len(lost) == sent
    assert queue._bytes == 0
    for stream in "abc":
        numbers = [item.number for item in got if item.stream == stream]
        assert numbers == sorted(numbers)


def test_a_token_bucket_limits_the_rate_and_allows_a_burst() -> None:
    bucket = TokenBucket(per_s=2.0, capacity=5.0)
    assert [bucket.take(1.0, 100.0) for _ in range(6)] == [True] * 5 + [False]
    assert [bucket.take(1.0, 101.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(1.0, 1e6) for _ in range(6)] == [True] * 5 + [False]
    assert all(TokenBucket(math.inf, math.inf).take(1e9, 5.0) for _ in range(3))


def test_each_device_has_its_own_rate_and_large_payloads_count_more() -> None:
    queue = fair_queue(per_s=1.0, newcomers=1)
    queue.add_stream("flood")
    queue.add_stream("bed")
    assert sum(queue.allows("flood", 10, 0.0) for _ in range(100)) == 10
    assert queue.allows("bed", 5 * 4096, 0.0)
    assert not queue.allows("bed", 5 * 4096, 0.0)
    assert queue.allows("bed", 10, 0.0)
