"""How good each lead was in some turns of a record, such as the noisy ones, and how right its windows were.

A window counts that lies in one turn with all of its length, so that none is half noisy. Pure; knows neither what sets
the turns apart nor tables.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from edge.alarms.machine import AlarmEvent
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.episodes import Counts
from edge.lab.scoring.record import Heard, Judge
from edge.lab.scoring.spans import Spans, intersect, seconds, union, within

_STORM = "ALARM_STORM"  # technical, and not about the signal


class TurnScore(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of all turns of one kind."""

    technical: float  # share of the time in which an alarm about the signal was on
    windows: int
    unjudged: float  # share of the windows without a good lead, which the network does not see
    masked: dict[str, float]  # of each lead: share of the windows in which the network does not see it
    window_f1: dict[str, float | None]  # of each beat label, over the windows that were judged


@dataclass(frozen=True, kw_only=True)
class TurnCounts:
    """What the figures are made of; those of several records add up."""

    seconds: float = 0.0
    technical_s: float = 0.0
    windows: int = 0
    unjudged: int = 0
    offered: Counter[str] = field(default_factory=Counter)  # windows of records that have this lead
    masked: Counter[str] = field(default_factory=Counter)  # of these, without it
    beats: dict[str, Counts] = field(default_factory=dict)

    def __add__(self, other: "TurnCounts") -> "TurnCounts":
        """Add up two records."""
        labels = self.beats | other.beats
        return TurnCounts(
            seconds=self.seconds + other.seconds,
            technical_s=self.technical_s + other.technical_s,
            windows=self.windows + other.windows,
            unjudged=self.unjudged + other.unjudged,
            offered=self.offered + other.offered,
            masked=self.masked + other.masked,
            beats={label: self.beats.get(label, Counts()) + other.beats.get(label, Counts()) for label in labels},
        )

    def score(self) -> TurnScore:
        """Return the figures; shares of nothing are 0."""
        return TurnScore(
            technical=self.technical_s / self.seconds if self.seconds else 0.0,
            windows=self.windows,
            unjudged=self.unjudged / self.windows if self.windows else 0.0,
            masked={lead: self.masked[lead] / windows for lead, windows in self.offered.items() if windows},
            window_f1={label: counts.figures()["window_f1"] for label, counts in self.beats.items()},
        )


def count_turns(judge: Judge, annotation: Annotation, heard: Heard, turns: Spans, end_s: float) -> TurnCounts:
    """Count what the stream of one record, which ends at `end_s`, said in its turns."""
    windows = [(decision.first_sample / heard.sample_rate_hz, decision.end_s) for decision in heard.decisions]
    inside = within(turns, np.array(windows, np.float64).reshape(-1, 2))
    decisions = [decision for decision, counts in zip(heard.decisions, inside, strict=True) if counts]
    kept = Counter(lead for decision in decisions for lead in decision.leads)
    return TurnCounts(
        seconds=seconds(turns),
        technical_s=seconds(intersect(technical_spans(heard.events, end_s), turns)),
        windows=len(decisions),
        unjudged=sum(not decision.good for decision in decisions),
        offered=Counter({lead: len(decisions) for lead in heard.leads}),
        masked=Counter({lead: len(decisions) - kept[lead] for lead in heard.leads}),
        beats=judge.beat_windows(annotation, replace(heard, decisions=decisions)),
    )


def technical_spans(events: Sequence[AlarmEvent], end_s: float) -> Spans:
    """Return when a technical alarm about the signal was on."""
    return union(_technical(events, end_s))


def _technical(events: Sequence[AlarmEvent], end_s: float) -> Iterator[tuple[float, float]]:
    about = [event for event in events if event.spec.kind == "technical" and event.spec.label != _STORM]
    ended = {event.alarm_id: event.end_s for event in about if event.what == "cleared"}
    for event in about:
        if event.what == "raised":
            yield event.end_s, ended.get(event.alarm_id, end_s)
