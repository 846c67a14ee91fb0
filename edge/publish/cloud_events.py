"""Alerts and device events: CloudEvents 1.0 in JSON, structured mode (github.com/cloudevents/spec).

An alert stands in two places: on the wire (`AlertEvent`) and in the report of a replay. `AlertBase` holds the fields
that both have. Wall time is a parameter.
"""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.alarms.evidence import Evidence
from edge.alarms.machine import AlarmEvent, EventKind, Reason
from edge.bundle.manifest import AlarmKind, BundleRef, Priority
from edge.core.errors import FrameError
from edge.publish.payloads import Payload
from edge.publish.swap_outcome import SwapResult

CLOUD_EVENTS = "application/cloudevents+json"

AlertType = Literal[
    "ecg-nat.alarm.raised",
    "ecg-nat.alarm.cleared",
    "ecg-nat.alarm.acknowledged",
    "ecg-nat.alarm.escalated",
    "ecg-nat.alarm.silenced",
]
SwapType = Literal["ecg-nat.bundle.accepted", "ecg-nat.bundle.refused", "ecg-nat.bundle.rolled_back"]
# Spelled out, not put together from strings, so that the type checker compares both sides.
_ALERT_TYPES: dict[EventKind, AlertType] = {
    "raised": "ecg-nat.alarm.raised",
    "cleared": "ecg-nat.alarm.cleared",
    "acknowledged": "ecg-nat.alarm.acknowledged",
    "escalated": "ecg-nat.alarm.escalated",
    "silenced": "ecg-nat.alarm.silenced",
}
_SWAP_TYPES: dict[SwapResult, SwapType] = {
    "accepted": "ecg-nat.bundle.accepted",
    "refused": "ecg-nat.bundle.refused",
    "rolled_back": "ecg-nat.bundle.rolled_back",
}


class AlertBase(Payload, frozen=True, kw_only=True):
    """The alarm and the deciding window. Samples are counted at the stream's own rate, from sample 0 of its epoch."""

    label: Annotated[str, Meta(description="Label of the alarm, such as AF.")]
    kind: Annotated[
        AlarmKind, Meta(description="Physiological: about the patient. Technical: about the signal or the device.")
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
    onset_s: Annotated[float, Meta(description="When the condition began, in seconds from sample 0 of the epoch.")]
    first_sample: Annotated[int, Meta(description="First sample of the deciding window.")]
    end_sample: Annotated[int, Meta(description="Sample after the last one of the deciding window.")]
    end_s: Annotated[float, Meta(description="The same instant in seconds from sample 0 of the epoch.")]
    leads: Annotated[tuple[str, ...], Meta(description="Leads of the deciding window that were good enough to use.")]
    reason: Annotated[Reason | None, Meta(description="Why the alarm was cleared. Null for other events.")]
    evidence: Annotated[
        Evidence | None,
        Meta(description="The deciding window. Null for answers to commands and at the end of a stream."),
    ] = None


class AlertData(AlertBase, frozen=True, kw_only=True):
    """The alarm, the deciding window, and the stream and the bundle that they belong to."""

    name: Annotated[str, Meta(description="Name of the alarm in plain words.")]
    snomed: Annotated[str | None, Meta(description="SNOMED CT concept of the label, if it has one.")]
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
    sample_rate_hz: Annotated[float, Meta(description="Sample rate of the stream, in which all samples are counted.")]
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


def alert_fields(event: AlarmEvent, *, evidence: bool = True) -> dict[str, Any]:
    """Return the fields of `AlertBase` for an event of an alarm, with the evidence or without."""
    return {
        "label": event.spec.label,
        "kind": event.spec.kind,
        "priority": event.spec.priority,
        "alarm_id": str(event.alarm_id),
        "probability": event.probability,
        "onset_s": event.onset_s,
        "first_sample": event.first_sample,
        "end_sample": event.end_sample,
        "end_s": event.end_s,
        "leads": event.leads,
        "reason": event.reason,
        "evidence": event.evidence if evidence else None,
    }


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
    """Return the alert for an event of an alarm, with its evidence or without; `time` is aware wall time."""
    spec = event.spec
    data = AlertData(
        **alert_fields(event, evidence=evidence),
        name=spec.name,
        snomed=spec.snomed,
        threshold=spec.threshold,
        onset_sample=event.onset_sample,
        sample_rate_hz=sample_rate_hz,
        bundle=bundle,
        epoch=event.epoch,
        latency_ms=latency_ms,
        historical=False,
        came=event.storm_counts,
    )
    return AlertEvent(
        id=str(event.id),
        source=f"ecg-nat/{device}/{event.stream}",
        type=_ALERT_TYPES[event.kind],
        subject=spec.label,
        time=time,
        data=data,
    )


def device_event(outcome: SwapResult, bundle: str, why: str, *, device: str, time: datetime) -> DeviceEvent:
    """Return the event for the result of a bundle swap; `bundle` is its name and version."""
    return DeviceEvent(
        id=str(uuid.uuid4()),
        source=f"ecg-nat/{device}",
        type=_SWAP_TYPES[outcome],
        time=time,
        data=DeviceEventData(bundle=bundle, why=why, historical=False),
    )


def as_historical(raw: bytes) -> bytes:
    """Return an encoded event with its `historical` flag set.

    Decoded as a plain dict: an earlier version of this program may have written it, with other fields.

    Raises
    ------
    FrameError
        When it is no such event.
    """
    try:
        event = msgspec.json.decode(raw, type=dict[str, Any])
        event["data"]["historical"] = True
    except (msgspec.DecodeError, KeyError, TypeError) as exc:
        raise FrameError(f"no alert: {exc}") from exc
    return msgspec.json.encode(event)
