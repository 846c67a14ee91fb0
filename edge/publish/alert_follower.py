"""Turns messages from the broker into lines for a reader: validated, and each fact shown once. Pure; no I/O."""

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from edge.core.errors import FrameError
from edge.mqtt.topics import Topic, parse_topic
from edge.publish.cloud_events import AlertEvent, DeviceEvent
from edge.publish.health import DeviceHealth
from edge.publish.payloads import AlarmState, DeviceStatus, Prediction, decode

LineKind = Literal["alert", "alarm", "status", "event", "bad"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line to show."""

    kind: LineKind
    text: str  # for people
    record: dict[str, Any]  # for programs: topic, retained, payload (None: the state was removed)
    priority: str = "none"


class AlertFollower:
    """Remembers what was shown, since MQTT delivers at least once and the reader should see it once.

    An alert and the retained state of its alarm say the same. The state is shown only where the alert was not seen,
    for example by a reader who joins later.

    Parameters
    ----------
    memory : how many facts, and how many alarms that are on, are remembered

    Attributes
    ----------
    bad : number of messages that are no valid payload, by cause
    """

    def __init__(self, memory: int = 4096) -> None:
        self.bad: Counter[str] = Counter()
        self._memory = memory
        self._shown: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()  # device, stream, id, fact
        self._on: OrderedDict[str, AlarmState] = OrderedDict()  # by topic

    def read(self, name: str, payload: bytes, *, retained: bool = False) -> Line | None:
        """Return the line for a message of the topic `name`, or None where it says nothing new."""
        record: dict[str, Any] = {"topic": name[:256], "retained": retained, "payload": None}
        try:
            return self._read(name, payload, record)
        except FrameError as exc:
            return self._bad("payload", f"{name[:256]}: {exc}", record)

    def _read(self, name: str, payload: bytes, record: dict[str, Any]) -> Line | None:
        topic = parse_topic(name)
        match topic:
            case Topic("alert"):
                return self._alert(topic, decode(payload, AlertEvent), record)
            case Topic("alarm"):
                return self._alarm(topic, name, payload, record)
            case Topic("status"):
                return self._status(topic, decode(payload, DeviceStatus), record)
            case Topic("events"):
                return self._event(topic, decode(payload, DeviceEvent), record)
            case Topic("prediction" | "health" as kind):  # validated, and not shown
                decode(payload, Prediction if kind == "prediction" else DeviceHealth)
                return None
        return self._bad("topic", f"{name[:256]!r}: no topic of this scheme", record)

    def _alert(self, topic: Topic, alert: AlertEvent, record: dict[str, Any]) -> Line | None:
        data, kind = alert.data, alert.type.rpartition(".")[2]
        if not self._is_new(topic, data.alarm_id, kind):
            return None
        parts = [kind.upper(), data.name, f"at {data.end_s:.1f} s"]
        if data.probability is not None:
            parts.append(f"p={data.probability:.2f}")
        if data.reason is not None:
            parts.append(f"({data.reason})")
        if data.historical:
            parts.append("(late)")
        if data.evidence is not None:
            parts.append(f"id {alert.id[:8]}")
        return self._line("alert", topic, data.priority, parts, alert, record)

    def _alarm(self, topic: Topic, name: str, payload: bytes, record: dict[str, Any]) -> Line | None:
        if not payload:  # the retained state was removed
            gone = self._on.pop(name, None)
            if gone is None or not self._is_new(topic, gone.alarm_id, "cleared"):
                return None
            return self._line("alarm", topic, gone.priority, ["ENDED", gone.name], None, record)
        state = decode(payload, AlarmState)
        self._on[name] = state
        if len(self._on) > self._memory:
            self._on.popitem(last=False)
        if not self._is_new(topic, state.alarm_id, "acknowledged" if state.acknowledged else "raised"):
            return None
        acknowledged = ", acknowledged" if state.acknowledged else ""
        parts = ["ON", state.name, f"since {state.onset_s:.1f} s{acknowledged}"]
        return self._line("alarm", topic, state.priority, parts, state, record)

    def _status(self, topic: Topic, status: DeviceStatus, record: dict[str, Any]) -> Line | None:
        # Forget the opposite state, so that the next change back counts as new.
        self._shown.pop((topic.device, "", "", "offline" if status.state == "online" else "online"), None)
        if not self._is_new(topic, "", status.state):
            return None
        # Only the last will has no time: the broker publishes it when the device vanishes.
        since = "connection lost" if status.since is None else f"since {status.since.isoformat(timespec='seconds')}"
        bundle = f", bundle {status.bundle.name}" if status.bundle else ""
        parts = [status.state.upper(), since, f"version {status.version}{bundle}"]
        return self._line("status", topic, "none", parts, status, record)

    def _event(self, topic: Topic, event: DeviceEvent, record: dict[str, Any]) -> Line | None:
        kind = event.type.rpartition(".")[2]
        if not self._is_new(topic, event.id, kind):
            return None
        parts = [kind.upper(), f"bundle {event.data.bundle}", event.data.why]
        return self._line("event", topic, "none", list(filter(None, parts)), event, record)

    def _is_new(self, topic: Topic, fact_id: str, fact: str) -> bool:
        """Return whether a fact was not shown before, and remember it."""
        key = (topic.device, topic.stream, fact_id, fact)  # an id is unique only within its source (CloudEvents)
        if key in self._shown:
            return False
        # Bounded, since ids come from the network; a fact forgotten here may be shown twice, which does no harm.
        self._shown[key] = None
        if len(self._shown) > self._memory:
            self._shown.popitem(last=False)
        return True

    def _bad(self, cause: str, text: str, record: dict[str, Any]) -> Line:
        self.bad[cause] += 1
        return Line("bad", _printable(text), record)

    @staticmethod
    def _line(
        kind: LineKind,
        topic: Topic,
        priority: str,
        parts: list[str],
        payload: msgspec.Struct | None,
        record: dict[str, Any],
    ) -> Line:
        ids = "/".join(filter(None, (topic.device, topic.stream)))
        text = _printable("  ".join((ids, *parts)))
        return Line(kind, text, record | {"payload": msgspec.to_builtins(payload)}, priority)


def _printable(text: str) -> str:
    # Names come from the network: no escape sequence may reach a terminal.
    return "".join(letter if letter.isprintable() else "?" for letter in text)
