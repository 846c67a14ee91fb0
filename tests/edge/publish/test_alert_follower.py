"""The follower shows each fact once, in any order and however often it arrives, and counts bad messages."""

from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.alarms.machine import AlarmEvent
from edge.mqtt import topics
from edge.publish.alert_follower import AlertFollower
from edge.publish.cloud_events import alert_event
from edge.publish.payloads import DeviceStatus, alarm_state, encode

ALERTS = topics.alerts_topic("d1", "s1")
ALARM = topics.alarm_topic("d1", "s1", "AF")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
STATUS = topics.status_topic("d1")


@pytest.fixture
def alert(bundle) -> Callable[[AlarmEvent], bytes]:
    """Give the function that makes the payload of an alert."""
    return lambda event: encode(alert_event(event, device="d1", sample_rate_hz=250.0, bundle=bundle, time=NOON))


def status(state: str) -> bytes:
    return encode(DeviceStatus(state=state, version="1", bundle=None, since=NOON))


def test_an_alert_and_its_state_are_shown_once(events, alert) -> None:
    raised, cleared = events()
    state = encode(alarm_state(raised, time=NOON))
    follower = AlertFollower()
    messages = [
        (ALERTS, alert(raised)),
        (ALARM, state),
        (ALERTS, alert(raised)),
        (ALERTS, alert(cleared)),
        (ALARM, b""),
    ]
    lines = [follower.read(*message) for message in messages]
    assert [line and line.kind for line in lines] == ["alert", None, None, "alert", None]
    assert "RAISED  Atrial fibrillation  at 10.0 s  p=0.90" in lines[0].text
    assert lines[0].priority == "high"
    assert lines[0].record["payload"]["id"] == str(raised.id)
    assert "CLEARED" in lines[3].text


def test_a_late_reader_sees_the_alarm_by_its_state(events, alert) -> None:
    raised, cleared = events()
    follower = AlertFollower()
    on = follower.read(ALARM, encode(alarm_state(raised, time=NOON)), retained=True)
    assert (on.kind, on.record["retained"]) == ("alarm", True)
    assert "ON  Atrial fibrillation  since 10.0 s" in on.text
    assert follower.read(ALERTS, alert(raised)) is None
    assert "ENDED" in follower.read(ALARM, b"").text
    assert follower.read(ALERTS, alert(cleared)) is None


def test_each_change_of_the_status_is_shown() -> None:
    follower = AlertFollower()
    lines = [follower.read(STATUS, status(state)) for state in ("online", "online", "offline", "online")]
    assert [line and line.text.split()[1] for line in lines] == ["ONLINE", None, "OFFLINE", "ONLINE"]


def test_bad_messages_are_counted_and_shown_without_control_characters() -> None:
    follower = AlertFollower()
    for topic, payload in ((ALERTS, b"{"), (STATUS, b'{"\x1b[31m": 1}'), ("a/\x1b[2J", b"x"), (ALARM, b"x" * 100_000)):
        line = follower.read(topic, payload)
        assert line.kind == "bad"
        assert line.text.isprintable()
    assert follower.bad == {"payload": 3, "topic": 1}


@given(st.sampled_from([ALERTS, ALARM, STATUS, "x"]), st.binary(max_size=200))
def test_any_bytes_are_handled(topic, payload) -> None:
    line = AlertFollower().read(topic, payload)
    assert line is None or line.kind == "bad"


def test_its_memory_is_bounded(events, alert) -> None:
    follower = AlertFollower(memory=10)
    for event in events(50):
        assert follower.read(ALERTS, alert(event)) is not None
    assert len(follower._shown) == 10


@pytest.mark.parametrize("topic", [ALARM, STATUS])
def test_an_alert_under_another_topic_is_not_valid(topic, events, alert) -> None:
    assert AlertFollower().read(topic, alert(events()[0])).kind == "bad"


def test_the_same_id_from_two_devices_is_two_alarms(events, alert) -> None:
    """An id is unique only within its source (CloudEvents); the second device's alarm was not shown."""
    (raised, _) = events()
    follower = AlertFollower()
    assert follower.read(ALERTS, alert(raised)) is not None
    assert follower.read(topics.alerts_topic("d2", "s1"), alert(raised)) is not None
