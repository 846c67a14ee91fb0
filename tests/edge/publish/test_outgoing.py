"""Which waiting message is sent next; without a broker and without a clock."""

import pytest

from edge.publish.outbox import Outbox
from edge.publish.outgoing import Outgoing
from edge.publish.payloads import DeviceStatus


@pytest.fixture
def new(bundle):
    """Give the function that makes one for 2 messages in memory, with an outbox or without."""
    status = DeviceStatus(state="online", version="1", bundle=bundle, since=None)
    return lambda outbox=None: Outgoing("d", status, 2, outbox)


def taken(outgoing):
    topics = []
    while outgoing.ready:
        topics.append(outgoing.take().topic.rpartition("/")[2])
    return topics


def fill(outgoing):
    outgoing.put_health(b"{}")
    outgoing.retain("state", b"{}")
    outgoing.put_event("alert", b"{}", 3, 0.0)
    outgoing.put_prediction("prediction", b"{}")
    outgoing.set_status(classifier="onnx")


def test_the_most_urgent_is_sent_first(new):
    outgoing = new()
    fill(outgoing)
    assert not outgoing.idle
    assert taken(outgoing) == ["status", "alert", "prediction", "state", "health"]
    assert outgoing.idle


def test_a_state_waits_for_the_alert_that_is_not_on_disk_yet(new, tmp_path):
    outgoing = new(Outbox(tmp_path / "outbox.db", 10))  # its writer is not started
    fill(outgoing)
    assert taken(outgoing) == ["status", "prediction", "health"]
    assert not outgoing.idle


def test_a_broker_without_memory_gets_every_state_again(new):
    outgoing = new()
    outgoing.retain("on", b"{}")
    outgoing.retain("over", b"{}")
    outgoing.retain("over", b"")
    assert taken(outgoing) == ["on", "over"]
    outgoing.resend_all()
    assert taken(outgoing) == ["status", "on"]


def test_a_state_of_an_earlier_run_is_removed(new):
    outgoing = new()
    outgoing.retain("mine", b"{}")
    outgoing.take()
    outgoing.clear_stale("mine")
    assert outgoing.idle
    outgoing.clear_stale("theirs")
    assert outgoing.take().payload == b""


def test_every_loss_has_its_cause(new):
    outgoing = new()
    for _ in range(3):
        outgoing.put_prediction("prediction", b"{}")
    outgoing.close()
    outgoing.put_event("alert", b"{}", 3, 0.0)
    outgoing.drop_all()
    assert outgoing.dropped == {"queue_full": 1, "closed": 1 + 2}
