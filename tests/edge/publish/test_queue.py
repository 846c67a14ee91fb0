"""The bounded queue keeps the order, and drops the least important first."""

from hypothesis import given
from hypothesis import strategies as st

from edge.publish.queue import Message, MessageQueue


def fill(capacity: int, ranks: list[int]) -> tuple[list[str], list[str]]:
    """Return the names (positions) of the messages that stayed, and of the dropped ones."""
    queue, lost = MessageQueue(capacity), []
    for index, rank in enumerate(ranks):
        lost += [dropped.topic for dropped in queue.put(Message(str(index), b"", rank))]
    return [queue.take().topic for _ in range(len(queue))], lost


def test_the_oldest_of_the_lowest_rank_is_dropped_first() -> None:
    assert fill(3, [3, 0, 0, 1, 2, 3]) == (["0", "4", "5"], ["1", "2", "3"])


def test_a_message_less_important_than_all_others_is_dropped_itself() -> None:
    assert fill(2, [3, 3, 0]) == (["0", "1"], ["2"])


def test_no_room_at_all() -> None:
    assert fill(0, [3]) == ([], ["0"])


def test_bytes_are_bounded_too() -> None:
    queue = MessageQueue(100, max_bytes=10)
    puts = [(3, 6), (1, 3), (2, 3), (3, 9)]
    lost = [[dropped.payload for dropped in queue.put(Message("t", bytes(size), rank))] for rank, size in puts]
    assert lost == [[], [], [bytes(3)], [bytes(3), bytes(6)]]
    assert queue.put(Message("t", bytes(11), 3)) == [Message("t", bytes(9), 3), Message("t", bytes(11), 3)]
    assert len(queue) == 0


@given(capacity=st.integers(0, 5), ranks=st.lists(st.integers(0, 3), max_size=30))
def test_each_message_stays_or_is_dropped_and_the_most_important_stay(capacity, ranks) -> None:
    kept, lost = fill(capacity, ranks)
    assert sorted(map(int, kept + lost)) == list(range(len(ranks)))
    assert kept == sorted(kept, key=int)
    assert len(kept) == min(capacity, len(ranks))
    assert sorted(ranks[int(name)] for name in kept) == sorted(ranks)[len(ranks) - len(kept) :]
