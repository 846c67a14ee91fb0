"""Signal quality and window scores over some periods of a record, such as the noisy ones.

Only windows that lie wholly in one period count, so that no window is half noisy.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from edge.alarms.machine import AlarmEvent
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.episodes import Counts
from edge.lab.scoring.record import AlarmScorer, StreamOutput
from edge.lab.scoring.spans import Spans, intersect, seconds, union, within

_STORM = "ALARM_STORM"  # a technical alarm, but not about the signal


class PeriodScore(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over all periods of one kind."""

    technical: float  # share of the time with a technical alarm about the signal
    windows: int
    unjudged: float  # share of the windows without a good lead; the network does not classify them
    masked: dict[str, float]  # of each lead: share of the windows in which it is masked
    window_f1: dict[str, float | None]  # of each beat label, over the classified windows


@dataclass(frozen=True, kw_only=True)
class PeriodCounts:
    """What the figures are computed from; counts of several records add up."""

    seconds: float = 0.0
    technical_s: float = 0.0
    windows: int = 0
    unjudged: int = 0
    recorded: Counter[str] = field(default_factory=Counter)  # windows of records that have this lead
    masked: Counter[str] = field(default_factory=Counter)  # of these, windows in which it is masked
    beats: dict[str, Counts] = field(default_factory=dict)

    def __add__(self, other: "PeriodCounts") -> "PeriodCounts":
        """Add up two records."""
        labels = self.beats | other.beats
        return PeriodCounts(
            seconds=self.seconds + other.seconds,
            technical_s=self.technical_s + other.technical_s,
            windows=self.windows + other.windows,
            unjudged=self.unjudged + other.unjudged,
            recorded=self.recorded + other.recorded,
            masked=self.masked + other.masked,
            beats={label: self.beats.get(label, Counts()) + other.beats.get(label, Counts()) for label in labels},
        )

    def score(self) -> PeriodScore:
        """Return the figures; a share is 0 where there is no time or no window."""
        return PeriodScore(
            technical=self.technical_s / self.seconds if self.seconds else 0.0,
            windows=self.windows,
            unjudged=self.unjudged / self.windows if self.windows else 0.0,
            masked={lead: self.masked[lead] / windows for lead, windows in self.recorded.items() if windows},
            window_f1={label: counts.figures()["window_f1"] for label, counts in self.beats.items()},
        )


def count_periods(
    scorer: AlarmScorer, annotation: Annotation, output: StreamOutput, periods: Spans, end_s: float
) -> PeriodCounts:
    """Count over some periods of one record; the record ends at `end_s`."""
    windows = [(decision.first_sample / output.sample_rate_hz, decision.end_s) for decision in output.decisions]
    inside = within(periods, np.array(windows, np.float64).reshape(-1, 2))
    decisions = [decision for decision, is_inside in zip(output.decisions, inside, strict=True) if is_inside]
    kept = Counter(lead for decision in decisions for lead in decision.leads)
    return PeriodCounts(
        seconds=seconds(periods),
        technical_s=seconds(intersect(technical_spans(output.events, end_s), periods)),
        windows=len(decisions),
        unjudged=sum(not decision.good for decision in decisions),
        recorded=Counter({lead: len(decisions) for lead in output.leads}),
        masked=Counter({lead: len(decisions) - kept[lead] for lead in output.leads}),
        beats=scorer.beat_windows(annotation, replace(output, decisions=decisions)),
    )


def technical_spans(events: Sequence[AlarmEvent], end_s: float) -> Spans:
    """Return when a technical alarm about the signal was on."""
    return union(_technical(events, end_s))


def _technical(events: Sequence[AlarmEvent], end_s: float) -> Iterator[tuple[float, float]]:
    about_signal = [event for event in events if event.spec.kind == "technical" and event.spec.label != _STORM]
    ended = {event.alarm_id: event.end_s for event in about_signal if event.kind == "cleared"}
    for event in about_signal:
        if event.kind == "raised":
            yield event.end_s, ended.get(event.alarm_id, end_s)
