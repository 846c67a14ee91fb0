"""Topics and payloads: what is written can be read, what is wrong is refused, and the schemas are current."""

import json
from dataclasses import replace
from datetime import datetime, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.errors import ConfigError, FrameError
from edge.lab.report import Alert
from edge.mqtt import topics
from edge.mqtt.topics import Topic, parse_topic
from edge.publish.cloud_events import AlertEvent, alert_event
from edge.publish.payloads import (
    MAX_PAYLOAD_BYTES,
    AlarmState,
    DeviceStatus,
    alarm_state,
    decode,
    encode,
    prediction,
)
from edge.publish.schemas import FOLDER, schemas
from edge.signal.analyzer import HeartRate

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)


def test_an_alert_is_a_cloud_event_with_everything_in_it(events, bundle) -> None:
    raised, cleared = events()
    alert = alert_event(raised, device="d1", sample_rate_hz=250.0, bundle=bundle, time=NOON, latency_ms=12.5)
    assert json.loads(encode(alert)) == {
        "specversion": "1.0",
        "id": str(raised.id),
        "source": "ecg-nat/d1/s1",
        "type": "ecg-nat.alarm.raised",
        "subject": "AF",
        "time": "2026-11-22T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "label": "AF",
            "name": "Atrial fibrillation",
            "snomed": "164889003",
            "kind": "physiological",
            "priority": "high",
            "alarm_id": str(raised.alarm_id),
            "probability": pytest.approx(0.9),
            "threshold": 0.5,
            "onset_sample": 2500,
            "onset_s": 10.0,
            "first_sample": 0,
            "end_sample": 2500,
            "end_s": 10.0,
            "sample_rate_hz": 250.0,
            "leads": ["II"],
            "reason": None,
            "bundle": {"name": "rhythm", "version": "1", "sha256": "0" * 64},
            "epoch": "e1",
            "latency_ms": 12.5,
            "historical": False,
            "came": None,
            "evidence": None,
        },
    }
    assert decode(encode(alert), AlertEvent) == alert
    assert alarm_state(raised, time=NOON).alarm_id == str(raised.alarm_id)
    assert alarm_state(cleared, time=NOON) is None


def test_a_prediction_names_its_labels(decision) -> None:
    raw = json.loads(encode(prediction(decision(0, 0.25), epoch="e1", labels=("AF",))))
    assert raw["probabilities"] == {"AF": 0.25}
    assert raw["cause"] == "present"
    assert raw["heart_rate_bpm"] is None


def test_a_prediction_has_the_heart_rate(decision) -> None:
    beating = replace(decision(0, 0.25), heart_rate=HeartRate(rate_bpm=61.26))
    assert prediction(beating, epoch="e1", labels=("AF",)).heart_rate_bpm == 61.3


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"state": "online"}',
        b'{"state": "asleep", "version": "1", "bundle": null, "since": null}',
        b'{"state": "online", "version": "1", "bundle": null, "since": null, "more": 1}',
        b"[" * 50_000,
        b" " * (MAX_PAYLOAD_BYTES + 1),
    ],
)
def test_bytes_that_are_no_payload_are_refused(raw) -> None:
    with pytest.raises(FrameError):
        decode(raw, DeviceStatus)


def test_the_shipped_schemas_are_current() -> None:
    """After a change of a payload: `python -m edge.publish.schemas`."""
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == schemas()


def test_the_schema_of_the_state_requires_every_field() -> None:
    schema = json.loads(schemas()["AlarmState.json"])
    body = schema["$defs"]["AlarmState"]
    assert set(body["required"]) == {field.name for field in msgspec.structs.fields(AlarmState)}
    assert body["additionalProperties"] is False


def test_the_schemas_describe_every_property() -> None:
    bare = [
        f"{name}.{key}"
        for text in schemas().values()
        for name, struct in json.loads(text)["$defs"].items()
        for key, value in struct["properties"].items()
        if "description" not in value
    ]
    assert bare == []


IDS = st.text("abcXYZ019_-", min_size=1, max_size=64)


@given(device=IDS, stream=IDS, label=IDS)
def test_topics_are_parsed_as_they_were_made(device, stream, label) -> None:
    assert parse_topic(topics.status_topic(device)) == Topic("status", device)
    assert parse_topic(topics.alerts_topic(device, stream)) == Topic("alert", device, stream)
    assert parse_topic(topics.alarm_topic(device, stream, label)) == Topic("alarm", device, stream, label)
    assert parse_topic(topics.predictions_topic(device, stream)) == Topic("prediction", device, stream)


@pytest.mark.parametrize("text", ["", "a/b", "+", "#", "a b", "Zoë", "x" * 65, "a\n"])
def test_wildcards_and_odd_characters_are_no_id(text) -> None:
    with pytest.raises(ConfigError):
        topics.check_id(text)


@pytest.mark.parametrize(
    "topic", ["", "ecg-nat/v1", "ecg-nat/v2/d/status", "ecg-nat/v1/d", "ecg-nat/v1/d/s/x", "ecg-nat/v1//status", "a/b"]
)
def test_a_foreign_topic_is_not_parsed(topic) -> None:
    assert parse_topic(topic) is None


@pytest.mark.parametrize(
    ("record", "stream"),
    [
        ("mitdb/208", "mitdb-208"),
        ("mitdb/208.hea", "mitdb-208"),
        ("/home/jane_doe/ward 3/208", "208"),
        ("../jane_doe/208", "208"),
        ("///", "record"),
    ],
)
def test_a_streams_id_names_no_folder(record, stream) -> None:
    """The whole path of a record was in its topics, with the name of the folder's owner."""
    assert topics.stream_id(record) == stream


def test_a_report_lists_an_alert_as_the_wire_carries_it(events, bundle) -> None:
    """The alert was written out twice, field by field; now one mapping serves both."""
    (raised, _) = events()
    listed = msgspec.to_builtins(Alert.of(raised))
    sent = msgspec.to_builtins(alert_event(raised, device="d1", sample_rate_hz=250.0, bundle=bundle, time=NOON))
    assert (listed.pop("id"), listed.pop("event")) == (sent["id"], "raised")
    assert listed == {key: sent["data"][key] for key in listed}
    assert listed.keys() == {
        *("label", "kind", "priority", "alarm_id", "probability", "onset_s", "first_sample", "end_sample", "end_s"),
        *("leads", "reason", "evidence"),
    }
