"""What subscribers receive: typed structs, and the one way to JSON and back.

Alert events follow CloudEvents 1.0 in JSON (github.com/cloudevents/spec, structured mode). The JSON Schema of each
payload lies in `edge/schemas`. Wall time is a parameter here; knows nothing of MQTT.
"""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

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
    """What happened to the alarm. Samples are counted at the stream's own rate, from sample 0 of its epoch."""

    label: Annotated[str, Meta(description="Label of the alarm, such as AF.")]
    name: Annotated[str, Meta(description="Name of the alarm in plain words.")]
    snomed: Annotated[str | None, Meta(description="SNOMED CT concept of the label, if it has one.")]
    kind: Annotated[
        Kind, Meta(description="Physiological: about the patient. Technical: about the signal or the device.")
    ]
    priority: Annotated[Priority, Meta(description="Priority of the alarm.")]
    alarm_id: Annotated[str, Meta(description="Id of the alarm. It is the same from raised to cleared.")]
    probability: Annotated[
        float | None,
        Meta(
            description="Probability of the label in the deciding window. "
            "Null where the model does not drive the alarm."
        ),
    ]
    threshold: Annotated[
        float | None,
        Meta(
            description="Probability at which the alarm's condition begins. "
            "Null where the model does not drive the alarm."
        ),
    ]
    onset_sample: Annotated[
        int, Meta(description="Sample at which the condition began: the end of the first window over the threshold.")
    ]
    onset_s: Annotated[float, Meta(description="The same instant in seconds from sample 0 of the epoch.")]
    first_sample: Annotated[int, Meta(description="First sample of the deciding window.")]
    end_sample: Annotated[int, Meta(description="Sample after the last one of the deciding window.")]
    end_s: Annotated[float, Meta(description="The same instant in seconds from sample 0 of the epoch.")]
    sample_rate_hz: Annotated[float, Meta(description="Sample rate of the stream, in which all samples are counted.")]
    leads: Annotated[tuple[str, ...], Meta(description="Leads of the deciding window that were good enough to use.")]
    reason: Annotated[Reason | None, Meta(description="Why the alarm was cleared. Null for other events.")]
    bundle: Annotated[BundleRef, Meta(description="Bundle that decided.")]
    epoch: Annotated[
        str, Meta(description="Names one unbroken count of samples. A device that restarts begins a new epoch.")
    ]
    latency_ms: Annotated[
        float | None,
        Meta(
            description="Time from the arrival of the window's last sample to this event. "
            "Null where it cannot be known."
        ),
    ]
    historical: Annotated[
        bool,
        Meta(description="True when the alert is late: it waited for the broker, or for the next start of the device."),
    ]
    came: Annotated[
        dict[str, int] | None,
        Meta(description="ALARM_STORM only: how many alarms of each label came, withheld ones included."),
    ] = None
    evidence: Annotated[
        Evidence | None,
        Meta(description="The deciding window. Null for answers to commands and at the end of a stream."),
    ] = None


class AlertEvent(Payload, frozen=True, kw_only=True):
    """An event of an alarm, as a CloudEvent. Never retained.

    Escalated: the alarm is on, has high priority, and nobody has acknowledged it. Silenced: the alarm is acknowledged
    and is not raised again for a while.
    """

    specversion: Annotated[Literal["1.0"], Meta(description="Version of CloudEvents.")] = "1.0"
    id: Annotated[str, Meta(description="Id of this event. A repeated message has the same id.")]
    source: Annotated[str, Meta(description="Where the event comes from: ecg-nat/<device>/<stream>.")]
    type: Annotated[AlertType, Meta(description="What happened to the alarm.")]
    subject: Annotated[str, Meta(description="Label of the alarm.")]
    time: Annotated[datetime, Meta(description="Wall time of the event on the device.")]
    datacontenttype: Annotated[Literal["application/json"], Meta(description="Media type of data.")] = (
        "application/json"
    )
    data: Annotated[AlertData, Meta(description="The alarm and the deciding window.")]


class AlarmState(Payload, frozen=True, kw_only=True):
    """An alarm that is on. Retained; replaced by an empty message when the alarm ends."""

    alarm_id: Annotated[str, Meta(description="Id of the alarm. It is the same from raised to cleared.")]
    label: Annotated[str, Meta(description="Label of the alarm, such as AF.")]
    name: Annotated[str, Meta(description="Name of the alarm in plain words.")]
    kind: Annotated[
        Kind, Meta(description="Physiological: about the patient. Technical: about the signal or the device.")
    ]
    priority: Annotated[Priority, Meta(description="Priority of the alarm.")]
    acknowledged: Annotated[bool, Meta(description="True once a person has acknowledged the alarm.")]
    time: Annotated[datetime, Meta(description="Wall time of the event that led to this state.")]
    onset_sample: Annotated[int, Meta(description="Sample at which the condition began.")]
    onset_s: Annotated[float, Meta(description="The same instant in seconds from sample 0 of the epoch.")]
    epoch: Annotated[str, Meta(description="Names one unbroken count of samples.")]


class StreamAlarms(Payload, frozen=True, kw_only=True):
    """The alarms of a stream that are on, for Home Assistant. Retained while the stream is open."""

    on: Annotated[tuple[str, ...], Meta(description="Labels of the alarms that are on.")]


class DeviceStatus(Payload, frozen=True, kw_only=True):
    """Whether a device is online. Retained. Offline without `since` is the last will: the device vanished."""

    state: Annotated[Literal["online", "offline"], Meta(description="Online or offline.")]
    version: Annotated[str, Meta(description="Version of ecg-nat.")]
    bundle: Annotated[BundleRef | None, Meta(description="Bundle that runs. Null until one is loaded.")]
    since: Annotated[datetime | None, Meta(description="Wall time of this state. Null in the last will.")]
    classifier: Annotated[
        str | None, Meta(description="Back end and precision that run, and why if not the configured ones.")
    ] = None
    swap: Annotated[str | None, Meta(description="Result of the latest bundle swap since the service started.")] = None


class DeviceEventData(Payload, frozen=True, kw_only=True):
    """The bundle that the event is about, and the reason."""

    bundle: Annotated[str, Meta(description="Name and version of the bundle. Empty where they are not known.")]
    why: Annotated[str, Meta(description="Why it was accepted, refused or rolled back.")]
    historical: Annotated[bool, Meta(description="True when the event is late.")]


class DeviceEvent(Payload, frozen=True, kw_only=True):
    """An event of the device itself: the result of a bundle swap. A CloudEvent, never retained."""

    specversion: Annotated[Literal["1.0"], Meta(description="Version of CloudEvents.")] = "1.0"
    id: Annotated[str, Meta(description="Id of this event. A repeated message has the same id.")]
    source: Annotated[str, Meta(description="Where the event comes from: ecg-nat/<device>.")]
    type: Annotated[SwapType, Meta(description="What happened to the new bundle.")]
    time: Annotated[datetime, Meta(description="Wall time of the event on the device.")]
    datacontenttype: Annotated[Literal["application/json"], Meta(description="Media type of data.")] = (
        "application/json"
    )
    data: Annotated[DeviceEventData, Meta(description="The bundle and the reason.")]


class Prediction(Payload, frozen=True, kw_only=True):
    """The probabilities of one window, or the cause why there are none."""

    epoch: Annotated[str, Meta(description="Names one unbroken count of samples.")]
    first_sample: Annotated[int, Meta(description="First sample of the window.")]
    end_sample: Annotated[int, Meta(description="Sample after the last one of the window.")]
    end_s: Annotated[float, Meta(description="The same instant in seconds from sample 0 of the epoch.")]
    cause: Annotated[str, Meta(description="`present` when the window was good; otherwise why it was not classified.")]
    leads: Annotated[tuple[str, ...], Meta(description="Leads of the window that were good enough to use.")]
    probabilities: Annotated[
        dict[str, float] | None, Meta(description="Probability of each label. Null when the window was not classified.")
    ]
    heart_rate_bpm: Annotated[
        float | None,
        Meta(
            description="Heart rate at the end of the window, from the last five RR intervals. "
            "Null where it is not known."
        ),
    ] = None


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
