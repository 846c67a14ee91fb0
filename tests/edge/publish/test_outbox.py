"""The outbox and its file, without a broker: what is kept, what is evicted, and how a damaged file is handled."""

import sqlite3
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import wait_until

from edge.core.errors import ConfigError
from edge.publish.in_flight import InFlight
from edge.publish.outbox import Outbox
from edge.publish.outbox_database import OutboxDatabase
from edge.publish.queue import Message


@pytest.fixture
def new_outbox(tmp_path) -> Iterator[Callable[..., Outbox]]:
    """Give the function that starts an outbox in the test's folder."""
    made = []

    def new(capacity: int = 1000, **options: int) -> Outbox:
        made.append(Outbox(tmp_path / "outbox.db", capacity, **options))
        made[-1].start()
        return made[-1]

    yield new
    for outbox in made:
        outbox.close()


def take(outbox: Outbox, count: int) -> list[Message]:
    """Wait for messages and take them."""
    taken = []
    for _ in range(count):
        wait_until(lambda: outbox.ready, what="a message")
        taken.append(outbox.take())
    return taken


def topics(messages: list[Message]) -> list[str]:
    return [message.topic for message in messages]


def put(outbox: Outbox, names: list[str], rank: int = 0) -> None:
    for name in names:
        outbox.put(Message(name, b"{}", rank))


def settled(outbox: Outbox) -> None:
    wait_until(lambda: not outbox._incoming and not outbox._committing, what="the commit")


def test_after_a_restart_only_unacknowledged_messages_come_marked_as_earlier(new_outbox) -> None:
    names = [str(number) for number in range(1000)]
    first = new_outbox()
    put(first, names)
    taken = take(first, 600)
    assert topics(taken) == names[:600]
    assert not any(message.earlier for message in taken)
    for message in taken[:500]:
        first.done(message)
    first.close()
    assert len(first) == 500
    second = new_outbox()
    put(second, ["new"])
    again = take(second, 501)
    assert topics(again) == [*names[500:], "new"]
    assert [message.earlier for message in again] == [True] * 500 + [False]
    for message in again:
        second.done(message)
    second.close()
    assert len(second) == 0
    assert not second.waiting
    assert first.lost == second.lost == {}


def test_the_least_important_are_evicted_but_none_that_was_taken(new_outbox) -> None:
    outbox = new_outbox(capacity=5)
    put(outbox, ["low"])
    (in_flight,) = take(outbox, 1)
    put(outbox, ["high", "High"], 3)
    put(outbox, ["medium", "Medium"], 2)
    settled(outbox)
    put(outbox, ["higher", "highest"], 3)
    settled(outbox)
    assert outbox.lost == {"evicted": 2}
    assert topics(take(outbox, 4)) == ["high", "High", "higher", "highest"]
    assert len(outbox) == 5
    outbox.done(in_flight)
    assert len(outbox) == 4


def test_a_burst_faster_than_the_writer_drops_the_least_important(tmp_path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", 1000, incoming=3)  # not started: a disk that hangs
    put(outbox, ["a", "b"])
    put(outbox, ["c", "d", "e"], 3)
    assert outbox.lost == {"queue_full": 2}
    outbox.start()
    assert topics(take(outbox, 3)) == ["c", "d", "e"]
    outbox.close()


@pytest.mark.parametrize("damage", [b"this is no database" * 1000, b""])
def test_a_damaged_file_is_set_aside(tmp_path, new_outbox, caplog, damage) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(damage)
    outbox = new_outbox()
    put(outbox, ["a"])
    assert topics(take(outbox, 1)) == ["a"]
    assert (tmp_path / "outbox.db.damaged").exists() is bool(damage)
    assert len(caplog.records) == bool(damage)


def test_a_file_that_is_damaged_inside_is_set_aside(tmp_path, new_outbox, caplog) -> None:
    first = new_outbox()
    put(first, [f"topic {number}" * 20 for number in range(500)])
    first.close()
    path = tmp_path / "outbox.db"
    raw = bytearray(path.read_bytes())
    raw[8192:20480] = bytes(12288)
    path.write_bytes(raw)
    second = new_outbox()
    put(second, ["a"])
    assert topics(take(second, 1)) == ["a"]
    assert "set aside" in caplog.text


def test_a_locked_file_is_tried_again(tmp_path, new_outbox, caplog) -> None:
    other = OutboxDatabase(tmp_path / "outbox.db")
    outbox = new_outbox()
    put(outbox, ["a"])
    assert topics(take(outbox, 1)) == ["a"]  # from memory meanwhile
    assert "locked" in caplog.text
    put(outbox, ["b"])
    other.close()
    wait_until(lambda: not outbox._disk_error, what="the file")
    assert outbox.lost == {}


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match=f"there is no folder {tmp_path}/none"):
        Outbox(tmp_path / "none" / "outbox.db", 10)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    commits=st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=8),
    capacity=st.integers(1, 8),
    taken=st.integers(0, 3),
)
def test_the_file_evicts_the_least_important(tmp_path_factory, commits, capacity, taken) -> None:
    """Compared with a plain list: each commit evicts the oldest of the lowest rank, but none that was taken."""
    database = OutboxDatabase(tmp_path_factory.mktemp("store") / "outbox.db")
    model: list[tuple[int, int]] = []  # key, rank
    key = 0
    for ranks in commits:
        evicted = database.exchange(
            [Message("t", b"", rank) for rank in ranks], [], capacity=capacity, evict_after=taken
        )
        for rank in ranks:
            key += 1
            model.append((key, rank))
        before = len(model)
        while len(model) > capacity and any(old > taken for old, _ in model):
            model.remove(min((pair for pair in model if pair[0] > taken), key=lambda pair: (pair[1], pair[0])))
        assert evicted == before - len(model)
        assert [(message.key, message.rank) for message in database.read(0, 1000)] == model
        assert database.count == len(model)
    database.close()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    commits=st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 900)), max_size=6), max_size=8),
    most=st.integers(1, 3000),
    acknowledged=st.sets(st.integers(1, 20)),
)
def test_the_file_keeps_no_more_bytes_than_its_limit(tmp_path_factory, commits, most, acknowledged) -> None:
    path = tmp_path_factory.mktemp("store") / "outbox.db"
    database = OutboxDatabase(path)
    model: dict[int, tuple[int, int]] = {}  # key -> rank, bytes
    key = 0
    for sizes in commits:
        acknowledged_now = [each for each in acknowledged if each <= key]
        messages = [Message("t", bytes(size), rank) for rank, size in sizes]
        evicted = database.exchange(messages, acknowledged_now, capacity=1000, evict_after=0, max_bytes=most)
        for pair in sizes:
            key += 1
            model[key] = pair
        for each in acknowledged_now if sizes or acknowledged_now else ():
            model.pop(each, None)
        before = len(model)
        while (sizes or acknowledged_now) and sum(size for _, size in model.values()) > most:
            del model[min(model, key=lambda each: (model[each][0], each))]
        assert evicted == before - len(model)
        assert [message.key for message in database.read(0, 1000)] == list(model)
        assert (database.count, database.bytes) == (len(model), sum(size for _, size in model.values()))
    database.close()
    again = OutboxDatabase(path)
    assert (again.count, again.bytes) == (database.count, database.bytes)
    again.close()


def test_messages_are_evicted_by_bytes_too(new_outbox) -> None:
    outbox = new_outbox(max_bytes=2500)
    for name, rank in (("low", 1), ("high", 3), ("medium", 2), ("higher", 3)):
        outbox.put(Message(name, bytes(1000), rank))
    settled(outbox)
    wait_until(lambda: outbox.lost == {"evicted": 2}, what="room")
    assert topics(take(outbox, 2)) == ["high", "higher"]


def test_a_commit_that_fails_leaves_nothing_and_can_be_repeated(tmp_path) -> None:
    database = OutboxDatabase(tmp_path / "outbox.db")
    database._sqlite.execute("PRAGMA max_page_count = 6")
    messages = [Message("t", bytes(1000)) for _ in range(20)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        database.exchange(messages, [], capacity=100, evict_after=0)
    database.close()
    database = OutboxDatabase(tmp_path / "outbox.db")
    assert database.count == 0
    database.exchange(messages, [], capacity=100, evict_after=0)
    assert database.count == len(database.read(0, 100)) == 20
    database.close()


def test_no_new_message_is_sent_while_old_ones_are_repeated() -> None:
    in_flight = InFlight(3)
    one, two = Message("one", b""), Message("two", b"")
    in_flight.add()
    assert in_flight.identify(1, one) is None
    in_flight.add()
    assert in_flight.has_room
    in_flight.lose_connection()
    assert not in_flight.has_room
    assert in_flight.acknowledge(1) is one
    assert not in_flight.has_room
    assert in_flight.acknowledge(2) is None  # acknowledged before its id was known here
    assert in_flight.identify(2, two) is two
    assert in_flight.has_room
    assert len(in_flight) == 0
    for _ in range(3):
        in_flight.add()
    assert not in_flight.has_room


def test_a_connection_lost_with_nothing_in_flight_leaves_room() -> None:
    in_flight = InFlight(1)
    in_flight.lose_connection()
    assert in_flight.has_room
