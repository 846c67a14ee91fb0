"""The MQTT topics.

    ecg-nat/v1/<device>/status                    retained  `DeviceStatus`; also the last will
    ecg-nat/v1/<device>/health                    retained  `DeviceHealth`, at an interval
    ecg-nat/v1/<device>/events                              `DeviceEvent`, QoS 1, at least once
    ecg-nat/v1/<device>/<stream>/alerts                     `AlertEvent`, QoS 1, at least once
    ecg-nat/v1/<device>/<stream>/alarms/<LABEL>   retained  `AlarmState` while the alarm is on; empty when it ends
    ecg-nat/v1/<device>/<stream>/alarms           retained  `StreamAlarms` while the stream is open, for Home Assistant
    ecg-nat/v1/<device>/<stream>/predictions                `Prediction`, one per window, where switched on
    ecg-nat/v1/<device>/<stream>/commands                   to the device: `Command`, never retained

Device, stream and label are opaque ids of 1 to 64 letters, digits, `_` and `-`, and must name no person.
"""

import re
from typing import Literal, NamedTuple

from edge.core.errors import ConfigError

ROOT = "ecg-nat/v1"  # a change that old subscribers cannot read needs a v2
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

TopicKind = Literal["status", "health", "events", "alert", "alarm", "prediction", "command"]
_OF_STREAM: dict[str, TopicKind] = {"alerts": "alert", "predictions": "prediction", "commands": "command"}


class Topic(NamedTuple):
    """The parts of a topic."""

    kind: TopicKind
    device: str
    stream: str = ""
    label: str = ""


def check_id(text: str, name: str = "id") -> str:
    """Return `text` if it may be part of a topic; `name` is what the error calls it.

    Raises
    ------
    ConfigError
        When it is empty, too long, or has other characters than letters, digits, `_` and `-`.
    """
    if not _ID.fullmatch(text):
        raise ConfigError(f"{name} {text[:80]!r} must be 1 to 64 letters, digits, '_' or '-'")
    return text


def stream_id(record: str) -> str:
    """Return the id of the stream that replays a record, such as `mitdb-208`.

    Of a longer path only the last part is used, since folders may be named after persons.
    """
    stem = record.removesuffix(".hea")
    name = stem if re.fullmatch(r"[\w-]+/[\w-]+", stem) else stem.rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[-64:] or "record"


def status_topic(device: str) -> str:
    """Return the topic of a device's retained status."""
    return f"{ROOT}/{check_id(device, 'device')}/status"


def health_topic(device: str) -> str:
    """Return the topic of a device's retained health."""
    return f"{ROOT}/{check_id(device, 'device')}/health"


def events_topic(device: str) -> str:
    """Return the topic of a device's own events."""
    return f"{ROOT}/{check_id(device, 'device')}/events"


def alerts_topic(device: str, stream: str) -> str:
    """Return the topic of a stream's alert events."""
    return _stream(device, stream) + "/alerts"


def alarm_topic(device: str, stream: str, label: str) -> str:
    """Return the topic of one alarm's retained state."""
    return f"{_stream(device, stream)}/alarms/{check_id(label, 'label')}"


def stream_alarms_topic(device: str, stream: str) -> str:
    """Return the topic of the retained list of a stream's alarms that are on."""
    return _stream(device, stream) + "/alarms"


def predictions_topic(device: str, stream: str) -> str:
    """Return the topic of a stream's predictions."""
    return _stream(device, stream) + "/predictions"


def commands_topic(device: str, stream: str) -> str:
    """Return the topic of the commands to a stream's alarms."""
    return _stream(device, stream) + "/commands"


def commands_filter(device: str) -> str:
    """Return the filter for the commands to one device."""
    return f"{ROOT}/{check_id(device, 'device')}/+/commands"


def filters(device: str | None = None) -> tuple[str, ...]:
    """Return the filters for status, events, alerts and alarm states of one device or of all."""
    base = f"{ROOT}/{'+' if device is None else check_id(device, 'device')}"
    return f"{base}/status", f"{base}/events", f"{base}/+/alerts", f"{base}/+/alarms/+"


def alerts_filter() -> str:
    """Return the filter for the alerts of all devices."""
    return f"{ROOT}/+/+/alerts"


def alarms_filters(device: str) -> tuple[str, str]:
    """Return the filters for the alarm states of one device, and for its lists of alarms that are on."""
    base = f"{ROOT}/{check_id(device, 'device')}/+/alarms"
    return f"{base}/+", base


def parse_topic(topic: str) -> Topic | None:
    """Return the parts of a topic, or None when it is not of this scheme."""
    parts = topic.removeprefix(ROOT + "/").split("/")
    if not topic.startswith(ROOT + "/") or not all(_ID.fullmatch(part) for part in parts):
        return None
    match parts:
        case [device, ("status" | "health" | "events") as kind]:
            return Topic(kind, device)
        case [device, stream, ("alerts" | "predictions" | "commands") as name]:
            return Topic(_OF_STREAM[name], device, stream)
        case [device, stream, "alarms", label]:
            return Topic("alarm", device, stream, label)
    return None


def _stream(device: str, stream: str) -> str:
    return f"{ROOT}/{check_id(device, 'device')}/{check_id(stream, 'stream')}"
