"""One alert with its evidence, checked and ready to be written or drawn.

Alerts come from files and from the network: every text is made printable, and every size is limited, before it gets
into a file name, a header or a picture.
"""

import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.alarms.evidence import Evidence
from edge.core.errors import FrameError
from edge.core.output import clock
from edge.lab.report import Alert, Report
from edge.publish.cloud_events import AlertEvent

DISCLAIMER = "A research tool and no medical device."
MAX_SECONDS = 60.0  # the longest window that a bundle may have
_MAX_TEXT = 120
_MOST_NAMED = 8  # probabilities in a caption


@dataclass(frozen=True, slots=True)
class Strip:
    """The ECG behind an alert, with the texts around it."""

    id: str  # of the alert; a UUID
    label: str
    heading: str
    details: tuple[str, ...]  # lines of plain text
    leads: tuple[str, ...]
    signal_mv: NDArray[np.float32]  # (leads, samples)
    sample_rate_hz: float

    @property
    def note(self) -> str:
        """The heading in a few words, as an annotation carries it."""
        return self.heading.partition(",")[0]


def strip_of_alert(alert: AlertEvent) -> Strip:
    """Return the strip of an alert.

    Raises
    ------
    FrameError
        When the alert has no samples, or not the format that this program writes.
    """
    data, event = alert.data, alert.type.rpartition(".")[2]
    threshold = "" if data.threshold is None else f", threshold {data.threshold:.2f}"
    latency = "" if data.latency_ms is None else f"; latency {data.latency_ms:.0f} ms"
    bundle = data.bundle
    where, when = alert.source.removeprefix("ecg-nat/"), alert.time.isoformat(timespec="seconds")
    span = f"samples {data.first_sample} to {data.end_sample} at {data.sample_rate_hz:g} Hz, epoch {data.epoch}"
    details = (
        f"{where}, {when}, {data.kind}{threshold}; id {alert.id}",
        f"{span}, until {clock(data.end_s)} of the stream; over since {clock(data.onset_s)}{latency}",
        f"bundle {bundle.name} {bundle.version}, SHA-256 {bundle.sha256}",
    )
    heading = _heading(data.label, event, data.name, data.priority, data.probability)
    return _strip(alert.id, data.label, heading, details, data.evidence)


def strip_of_report(alert: Alert, report: Report) -> Strip:
    """Return the strip of an alert in a replay's report; raises as `strip_of_alert` does."""
    span = f"samples {alert.first_sample} to {alert.end_sample}"
    details = (
        f"replay of {report.record}, {alert.kind}; id {alert.id}",
        f"{span}, until {clock(alert.end_s)} of the record; over since {clock(alert.onset_s)}",
        f"bundle {report.bundle.name} {report.bundle.version}, SHA-256 {report.bundle.sha256}",
    )
    heading = _heading(alert.label, alert.event, "", alert.priority, alert.probability)
    return _strip(alert.id, alert.label, heading, details, alert.evidence)


def _heading(label: str, event: str, name: str, priority: str, probability: float | None) -> str:
    certainty = "" if probability is None else f", p = {probability:.2f}"
    return f"{label} {event}{', ' + name if name else ''}, priority {priority}{certainty}"


def _strip(alert_id: str, label: str, heading: str, details: tuple[str, ...], evidence: Evidence | None) -> Strip:
    try:
        checked_id = str(uuid.UUID(alert_id))
    except ValueError as exc:
        raise FrameError(f"{_plain(alert_id)!r}: not the id of an alert") from exc
    if evidence is None:
        raise FrameError(f"alert {checked_id}, {_plain(heading)}: it carries no evidence, as no window caused it")
    if not evidence.kept:
        raise FrameError(
            f"alert {checked_id}, {_plain(heading)}: it carries no samples, as its window was not good "
            f"({_plain(evidence.cause)}): {_plain(_quality(evidence))}"
        )
    try:
        signal_mv = evidence.signal_mv()
    except ValueError as exc:
        raise FrameError(f"alert {checked_id}: its samples do not divide into {len(evidence.kept)} leads") from exc
    if not 0 < signal_mv.shape[1] <= MAX_SECONDS * evidence.sample_rate_hz:
        raise FrameError(f"alert {checked_id}: it has no samples, or more than {MAX_SECONDS:g} s of them")
    shown = f"as the model saw it: {evidence.sample_rate_hz:g} Hz, high-passed at 0.5 Hz, gaps as zeros"
    lines = (*details, f"leads {_quality(evidence)}; {shown}", f"probabilities {_likeliest(evidence)}", DISCLAIMER)
    return Strip(
        id=checked_id,
        label=_plain(label),
        heading=_plain(heading),
        details=tuple(_plain(line, 2 * _MAX_TEXT) for line in lines),
        leads=evidence.kept,
        signal_mv=signal_mv,
        sample_rate_hz=evidence.sample_rate_hz,
    )


def _quality(evidence: Evidence) -> str:
    return ", ".join(f"{lead.lead} {lead.present:.0%}{'' if lead.kept else ' not kept'}" for lead in evidence.leads)


def _likeliest(evidence: Evidence) -> str:
    ranked = sorted(evidence.probabilities.items(), key=lambda pair: -pair[1])[:_MOST_NAMED]
    return ", ".join(f"{label} {probability:.2f}" for label, probability in ranked) or "none"


def _plain(text: str, longest: int = _MAX_TEXT) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])
