"""What subscribers receive: typed structs, and the one way to JSON and back.

Alert events follow CloudEvents 1.0 in JSON (github.com/cloudevents/spec, structured mode). The JSON Schema of each
payload lies in `edge/schemas`. Wall time is a parameter here; knows nothing of MQTT.
"""

import uuid
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec

from edge.alarms.command import Command
from edge.alarms.decision import Decision
from edge.alarms.evidence import Evidence
from edge.alarms.machine import AlarmEvent, EventKind, Reason
from edge.bundle.manifest import BundleRef, Kind, Priority
from edge.core.errors import FrameError
from edge.publish.swap_outcome import Final

MAX_PAYLOAD_BYTES = 64 << 10
CLOUD_EVENTS = "application/cloudevents+json"

MAX_COMMAND_BYTES = 1 << 10

AlertType = Literal[
    "ecg-nat.alarm.raised",
    "ecg-nat.alarm.cleared",
    "ecg-nat.alarm.acknowledged",
    "ecg-nat.alarm.escalated",
    "ecg-nat.alarm.silenced",
]
SwapType = Literal["ecg-nat.bundle.accepted", "ecg-nat.bundle.refused", "ecg-nat.bundle.rolled_back"]
_TYPES: dict[EventKind, AlertType] = {
    "raised": "ecg-nat.alarm.raised",
    "cleared": "ecg-nat.alarm.cleared",
    "acknowledged": "ecg-nat.alarm.acknowledged",
    "escalated": "ecg-nat.alarm.escalated",
    "silenced": "ecg-nat.alarm.silenced",
}

_SWAP_TYPES: dict[Final, SwapType] = {
    "accepted": "ecg-nat.bundle.accepted",
    "refused": "ecg-nat.bundle.refused",
    "rolled_back": "ecg-nat.bundle.rolled_back",
}

T = TypeVar("T")


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all payloads: frozen, and an unknown field is an error."""


class AlertData(Payload, frozen=True, kw_only=True):
    """What happened; samples are counted at the stream's own rate, and stream time begins at sample 0."""

    label: str
    name: str
    snomed: str | None  # SNOMED CT concept
    kind: Kind
    priority: Priority
    alarm_id: str  # the same from raised to cleared
    probability: float | None  # in the window that decided
    threshold: float | None
    onset_sample: int  # end of the first window over the threshold
    onset_s: float
    first_sample: int  # of the window that decided
    end_sample: int
    end_s: float
    sample_rate_hz: float
    leads: tuple[str, ...]  # that the window was judged by
    reason: Reason | None  # why it was cleared
    bundle: BundleRef
    epoch: str  # names one unbroken count of samples
    latency_ms: float | None  # from the window's last sample to this event, where it can be known
    historical: bool  # told late: it had to wait for the broker, or a later run of the device tells it
    came: dict[str, int] | None = None  # of ALARM_STORM: how many alarms of each label came, the withheld ones too
    evidence: Evidence | None = None  # the window that decided; None for answers to commands and at a stream's end


class AlertEvent(Payload, frozen=True, kw_only=True):
    """Something happened to an alarm: a CloudEvent. Never retained; `id` tells repetitions.

    Escalated: it is on, of high priority, and nobody has acknowledged it. Silenced: it is not raised for a while.
    """

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str  # ecg-nat/<device>/<stream>
    type: AlertType
    subject: str  # the label
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: AlertData


class AlarmState(Payload, frozen=True, kw_only=True):
    """An alarm that is on; retained, and replaced by an empty message when it ends."""

    alarm_id: str
    label: str
    name: str
    kind: Kind
    priority: Priority
    acknowledged: bool
    time: datetime  # of the event that made it so
    onset_sample: int
    onset_s: float
    epoch: str


class StreamAlarms(Payload, frozen=True, kw_only=True):
    """Which alarms of a stream are on, by label; retained while the stream is open. Published for Home Assistant."""

    on: tuple[str, ...]


class DeviceStatus(Payload, frozen=True, kw_only=True):
    """Whether a device is there; retained. Offline without `since` is the last will: the device vanished."""

    state: Literal["online", "offline"]
    version: str
    bundle: BundleRef | None
    since: datetime | None
    classifier: str | None = None  # which back end serves, and why, where not the one that was asked for
    swap: str | None = None  # what came of the last bundle that was to take over, since the service started


class DeviceEventData(Payload, frozen=True, kw_only=True):
    """Which bundle it is about, and why."""

    bundle: str  # name and version; empty where they are not known
    why: str
    historical: bool  # told late


class DeviceEvent(Payload, frozen=True, kw_only=True):
    """Something happened to the device itself: another bundle was to take over. A CloudEvent; never retained."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str  # ecg-nat/<device>
    type: SwapType
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: DeviceEventData


class Prediction(Payload, frozen=True, kw_only=True):
    """The probabilities of one window, or why there are none."""

    epoch: str
    first_sample: int
    end_sample: int
    end_s: float
    cause: str  # `present` when the window was good
    leads: tuple[str, ...]
    probabilities: dict[str, float] | None  # by label
    heart_rate_bpm: float | None = None  # at its end, of the last five intervals; None where nobody can tell


def encode(payload: Payload | Command) -> bytes:
    """Return a payload as JSON."""
    return msgspec.json.encode(payload)


def decode(raw: bytes, kind: type[T], most_bytes: int = MAX_PAYLOAD_BYTES) -> T:
    """Return the payload in some bytes from a wire.

    Raises
    ------
    FrameError
        When the bytes are too many, are no JSON, or do not fit the struct.
    """
    if len(raw) > most_bytes:
        raise FrameError(f"payload of {len(raw)} bytes, more than the {most_bytes} allowed")
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise FrameError(f"no {kind.__name__}: {exc}") from exc


def alert_event(
    event: AlarmEvent,
    *,
    device: str,
    sample_rate_hz: float,
    bundle: BundleRef,
    time: datetime,
    latency_ms: float | None = None,
    evidence: bool = True,
) -> AlertEvent:
    """Return the alert that tells of an event of the alarms, with evidence or without; `time` is aware wall time."""
    spec = event.spec
    data = AlertData(
        label=spec.label,
        name=spec.name,
        snomed=spec.snomed,
        kind=spec.kind,
        priority=spec.priority,
        alarm_id=str(event.alarm_id),
        probability=event.probability,
        threshold=spec.threshold,
        onset_sample=event.onset_sample,
        onset_s=event.onset_s,
        first_sample=event.first_sample,
        end_sample=event.end_sample,
        end_s=event.end_s,
        sample_rate_hz=sample_rate_hz,
        leads=event.leads,
        reason=event.reason,
        bundle=bundle,
        epoch=event.epoch,
        latency_ms=latency_ms,
        historical=False,
        came=event.came,
        evidence=event.evidence if evidence else None,
    )
    return AlertEvent(
        id=str(event.id),
        source=f"ecg-nat/{device}/{event.stream}",
        type=_TYPES[event.what],
        subject=spec.label,
        time=time,
        data=data,
    )


def device_event(outcome: Final, bundle: str, why: str, *, device: str, time: datetime) -> DeviceEvent:
    """Return the event that tells what came of a bundle that was to take over."""
    return DeviceEvent(
        id=str(uuid.uuid4()),
        source=f"ecg-nat/{device}",
        type=_SWAP_TYPES[outcome],
        time=time,
        data=DeviceEventData(bundle=bundle, why=why, historical=False),
    )


def as_historical(raw: bytes) -> bytes:
    """Return an encoded alert, flagged as told late; another version of this program may have written it.

    Raises
    ------
    FrameError
        When it is no alert.
    """
    try:
        alert = msgspec.json.decode(raw, type=dict[str, Any])
        alert["data"]["historical"] = True
    except (msgspec.DecodeError, KeyError, TypeError) as exc:
        raise FrameError(f"no alert: {exc}") from exc
    return msgspec.json.encode(alert)


def alarm_state(event: AlarmEvent, *, time: datetime) -> AlarmState | None:
    """Return the state that an event leaves behind; None when the alarm has ended."""
    if event.what == "cleared":
        return None
    return AlarmState(
        alarm_id=str(event.alarm_id),
        label=event.spec.label,
        name=event.spec.name,
        kind=event.spec.kind,
        priority=event.spec.priority,
        acknowledged=event.what == "acknowledged",
        time=time,
        onset_sample=event.onset_sample,
        onset_s=event.onset_s,
        epoch=event.epoch,
    )


def prediction(decision: Decision, *, epoch: str, labels: tuple[str, ...]) -> Prediction:
    """Return what one window says; `labels` are in the manifest's order."""
    outputs, rate_bpm = decision.probabilities, decision.pulse.rate_bpm
    return Prediction(
        epoch=epoch,
        first_sample=decision.first_sample,
        end_sample=decision.end_sample,
        end_s=decision.end_s,
        cause=decision.cause.key,
        leads=decision.leads,
        probabilities=None if outputs is None else dict(zip(labels, outputs.tolist(), strict=True)),
        heart_rate_bpm=None if rate_bpm is None else round(rate_bpm, 1),
    )
