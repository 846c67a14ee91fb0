"""Turns messages into lines for a reader: checked, and each fact told once, whichever way it came. Pure; no I/O."""

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from edge.core.errors import FrameError
from edge.mqtt.topics import Topic, parse_topic
from edge.publish.cloud_events import AlertEvent, DeviceEvent
from edge.publish.health import DeviceHealth
from edge.publish.payloads import AlarmState, DeviceStatus, Prediction, decode

_OF_DEVICE: dict[str, type[DeviceStatus | DeviceEvent]] = {"status": DeviceStatus, "events": DeviceEvent}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to tell."""

    kind: Literal["alert", "alarm", "status", "event", "bad"]
    text: str  # for people
    record: dict[str, Any]  # for programs: topic, retained, payload (None: removed)
    priority: str = "none"


class Follower:
    """Remembers what was told: at least once on the wire becomes once for the reader.

    An alert and the retained state of its alarm say the same; the state is told only where the alert was not
    seen, as on joining late. `bad` counts by cause the messages that are no valid payload.
    """

    def __init__(self, memory: int = 4096) -> None:
        self.bad: Counter[str] = Counter()
        self._memory = memory
        self._told: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()  # device, stream, alarm, what
        self._on: OrderedDict[str, AlarmState] = OrderedDict()  # by topic

    def take(self, topic: str, payload: bytes, *, retained: bool = False) -> Line | None:
        """Return what a message says, or None where it is nothing new."""
        where = parse_topic(topic)
        record: dict[str, Any] = {"topic": topic[:256], "retained": retained, "payload": None}
        try:
            match where:
                case Topic("alert"):
                    return self._alert(where, decode(payload, AlertEvent), record)
                case Topic("alarm"):
                    return self._alarm(where, topic, payload, record)
                case Topic("status" | "events" as kind):
                    return self._of_device(where, decode(payload, _OF_DEVICE[kind]), record)
                case Topic("prediction" | "health" as kind):
                    decode(payload, Prediction if kind == "prediction" else DeviceHealth)
                case _:
                    return self._bad("topic", f"{topic[:256]!r}: no topic of this scheme", record)
        except FrameError as exc:
            return self._bad("payload", f"{topic[:256]}: {exc}", record)
        return None

    def _alert(self, where: Topic, alert: AlertEvent, record: dict[str, Any]) -> Line | None:
        data, what = alert.data, alert.type.rpartition(".")[2]
        if not self._new(where, data.alarm_id, what):
            return None
        parts = [what.upper(), data.name, f"at {data.end_s:.1f} s"]
        if data.probability is not None:
            parts.append(f"p={data.probability:.2f}")
        if data.reason is not None:
            parts.append(f"({data.reason})")
        if data.historical:
            parts.append("(told late)")
        if data.evidence is not None:
            parts.append(f"id {alert.id[:8]}")
        return self._line("alert", where, data.priority, parts, alert, record)

    def _alarm(self, where: Topic, topic: str, payload: bytes, record: dict[str, Any]) -> Line | None:
        if not payload:
            gone = self._on.pop(topic, None)
            if gone is None or not self._new(where, gone.alarm_id, "cleared"):
                return None
            return self._line("alarm", where, gone.priority, ["ENDED", gone.name], None, record)
        state = decode(payload, AlarmState)
        self._on[topic] = state
        if len(self._on) > self._memory:
            self._on.popitem(last=False)
        if not self._new(where, state.alarm_id, "acknowledged" if state.acknowledged else "raised"):
            return None
        seen = ", acknowledged" if state.acknowledged else ""
        parts = ["ON", state.name, f"since {state.onset_s:.1f} s{seen}"]
        return self._line("alarm", where, state.priority, parts, state, record)

    def _status(self, where: Topic, status: DeviceStatus, record: dict[str, Any]) -> Line | None:
        since = "" if status.since is None else status.since.isoformat(timespec="seconds")
        self._told.pop((where.device, "", "", "offline" if status.state == "online" else "online"), None)
        if not self._new(where, "", status.state):
            return None
        parts = [status.state.upper(), f"since {since}" if since else "without a word"]
        parts.append(f"version {status.version}" + (f", bundle {status.bundle.name}" if status.bundle else ""))
        return self._line("status", where, "none", parts, status, record)

    def _of_device(self, where: Topic, told: DeviceStatus | DeviceEvent, record: dict[str, Any]) -> Line | None:
        if isinstance(told, DeviceStatus):
            return self._status(where, told, record)
        return self._event(where, told, record)

    def _event(self, where: Topic, event: DeviceEvent, record: dict[str, Any]) -> Line | None:
        what = event.type.rpartition(".")[2]
        if not self._new(where, event.id, what):
            return None
        parts = [what.upper(), f"bundle {event.data.bundle}", event.data.why]
        return self._line("event", where, "none", list(filter(None, parts)), event, record)

    def _new(self, where: Topic, alarm_id: str, what: str) -> bool:
        key = (where.device, where.stream, alarm_id, what)  # an id is unique for its source alone
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > self._memory:
            self._told.popitem(last=False)
        return True

    def _bad(self, cause: str, text: str, record: dict[str, Any]) -> Line:
        self.bad[cause] += 1
        return Line("bad", _plain(text), record)

    @staticmethod
    def _line(
        kind: Literal["alert", "alarm", "status", "event"],
        where: Topic,
        priority: str,
        parts: list[str],
        payload: msgspec.Struct | None,
        record: dict[str, Any],
    ) -> Line:
        ids = "/".join(filter(None, (where.device, where.stream)))
        text = _plain("  ".join((ids, *parts)))
        return Line(kind, text, record | {"payload": msgspec.to_builtins(payload)}, priority)


def _plain(text: str) -> str:
    # Names come from the wire: no escape sequence may reach a terminal.
    return "".join(letter if letter.isprintable() else "?" for letter in text)
