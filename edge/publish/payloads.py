"""Alarm states, device status and predictions as subscribers receive them, and the codec of all payloads.

Every payload is a typed struct. The JSON Schema of each lies in `edge/publish/json_schemas`.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from edge.alarms.command import Command
from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmEvent
from edge.bundle.manifest import AlarmKind, BundleRef, Priority
from edge.core.errors import FrameError

# Limits before parsing: whatever arrives comes from the network.
MAX_PAYLOAD_BYTES = 64 << 10
MAX_COMMAND_BYTES = 1 << 10

T = TypeVar("T")


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all payloads: frozen, and an unknown field is an error."""


class AlarmState(Payload, frozen=True, kw_only=True):
    """An alarm that is on. Retained; replaced by an empty message when the alarm ends."""

    alarm_id: Annotated[str, Meta(description="Id of the alarm. It is the same from raised to cleared.")]
    label: Annotated[str, Meta(description="Label of the alarm, such as AF.")]
    name: Annotated[str, Meta(description="Name of the alarm in plain words.")]
    kind: Annotated[
        AlarmKind, Meta(description="Physiological: about the patient. Technical: about the signal or the device.")
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


def decode(raw: bytes, kind: type[T], max_bytes: int = MAX_PAYLOAD_BYTES) -> T:
    """Return the payload in bytes from a wire.

    Raises
    ------
    FrameError
        When there are too many bytes, or they are no valid JSON for the struct.
    """
    if len(raw) > max_bytes:
        raise FrameError(f"payload of {len(raw)} bytes, more than the {max_bytes} allowed")
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise FrameError(f"no {kind.__name__}: {exc}") from exc


def last_will(status: DeviceStatus) -> DeviceStatus:
    """Return the status that the broker publishes if the device vanishes; nobody can know when that will be."""
    return msgspec.structs.replace(status, state="offline", since=None, swap=None)


def alarm_state(event: AlarmEvent, *, time: datetime) -> AlarmState | None:
    """Return the alarm's state after an event; None when the alarm has ended."""
    if event.kind == "cleared":
        return None
    return AlarmState(
        alarm_id=str(event.alarm_id),
        label=event.spec.label,
        name=event.spec.name,
        kind=event.spec.kind,
        priority=event.spec.priority,
        acknowledged=event.kind == "acknowledged",
        time=time,
        onset_sample=event.onset_sample,
        onset_s=event.onset_s,
        epoch=event.epoch,
    )


def prediction(decision: Decision, *, epoch: str, labels: tuple[str, ...]) -> Prediction:
    """Return the prediction of one window; `labels` are in the manifest's order."""
    outputs, rate_bpm = decision.probabilities, decision.heart_rate.rate_bpm
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
