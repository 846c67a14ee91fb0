"""One alarm of one stream: when it is raised, when it ends, and what people do to it.

    INACTIVE ──over──► PENDING ──on delay──► ACTIVE ──under──► CLEARING ──off delay──► INACTIVE, or LATCHED
        ▲                 │ under               ▲                  │ over                until acknowledged
        └─────────────────┘                     └──────────────────┘

An alarm that is due stays PENDING while it is withheld: during its cooldown, while a person has silenced it, or, below
high priority, during a storm of alarms. It is raised afterwards if its condition still holds. With a clear threshold,
`under` is less than that for an alarm that is ACTIVE or CLEARING, and less than the threshold otherwise. An alarm of
high priority that is on and that nobody acknowledges is told once more, as escalated.

Pure and clock-free: time is the stream's. Knows nothing of other alarms, ids or payloads.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edge.alarms.decision import Decision
from edge.bundle.manifest import AlarmKind, Priority
from edge.core.samples import Cause
from edge.signal.watch import Pulse

ESCALATE_S = 60.0
_ROUNDING_S = 1e-6  # delays are sums of floats

EventKind = Literal["raised", "cleared", "acknowledged", "escalated", "silenced"]
Reason = Literal["condition_ended", "signal_lost", "stream_end", "model_changed"]
Transition = tuple[EventKind | Literal["withheld"], Reason | None]


class State(enum.Enum):
    """Where an alarm stands."""

    INACTIVE = "inactive"
    PENDING = "pending"  # over the threshold; the on delay is running, or the alarm is withheld
    ACTIVE = "active"
    CLEARING = "clearing"  # still on; under the threshold, the off delay is running
    LATCHED = "latched"  # still on; the condition is gone and nobody acknowledged it


_TURNS = {
    (State.INACTIVE, True): State.PENDING,
    (State.PENDING, False): State.INACTIVE,
    (State.ACTIVE, False): State.CLEARING,
    (State.CLEARING, True): State.ACTIVE,
    (State.LATCHED, True): State.ACTIVE,
}
_ON = (State.ACTIVE, State.CLEARING, State.LATCHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSpec:
    """When one alarm is raised and when it ends.

    It is driven by an output of the model, by causes of bad windows, by the machine's overload, or by the number of the
    stream's other alarms.
    """

    label: str
    name: str
    snomed: str | None = None
    kind: AlarmKind = "physiological"
    priority: Priority = "none"  # none: never raised
    output: int | None = None  # index in the model's probabilities
    threshold: float | None = None  # of that output
    clear_threshold: float | None = None  # the alarm lasts while the output is not below this
    causes: frozenset[Cause] = frozenset()  # without an output: the windows that count as over
    by_gates: bool = False  # without an output: over as well in a window over the threshold of an output that gates
    overload: bool = False  # without an output: over while windows are given up
    pause_s: float | None = None  # over when the last beat is so long ago
    below_bpm: float | None = None  # over when the rate of the last beats is lower
    above_bpm: float | None = None  # over when it is higher
    storm_limit: int | None = None  # over while so many alarms, raised or withheld, came within `storm_window_s`
    storm_window_s: float = 60.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    cooldown_s: float = 0.0  # from one end to the next raising
    escalate_s: float = ESCALATE_S  # of high priority alone; 0: never
    latch: bool = False

    @property
    def gates(self) -> bool:
        """Whether windows over the threshold say nothing about rhythms."""
        return self.kind == "technical" and self.output is not None

    @property
    def gated(self) -> bool:
        """Whether it has no evidence in a window over the threshold of one that gates."""
        return self.kind == "physiological" and not self.by_beats

    @property
    def by_beats(self) -> bool:
        """Whether the beats drive it, and not the model."""
        return any(limit is not None for limit in (self.pause_s, self.below_bpm, self.above_bpm))

    def over(self, decision: Decision, *, on: bool = False) -> bool | None:
        """Whether the window is over the threshold, for an alarm that is `on` or not; None when it says nothing."""
        if self.by_beats:
            return self._over_by_beats(decision.pulse)
        if self.output is None or self.threshold is None:
            return decision.cause in self.causes or (self.overload and decision.overload)
        if decision.probabilities is None:
            return None
        level = self.clear_threshold if on and self.clear_threshold is not None else self.threshold
        return bool(decision.probabilities[self.output] >= level)

    def _over_by_beats(self, pulse: Pulse) -> bool | None:
        if self.pause_s is not None:
            return None if pulse.pause_s is None else pulse.pause_s >= self.pause_s
        if pulse.rate_bpm is None:
            return None
        slow = self.below_bpm is not None and pulse.rate_bpm < self.below_bpm
        return slow or (self.above_bpm is not None and pulse.rate_bpm > self.above_bpm)


class Track:
    """One label of one stream."""

    def __init__(self, spec: AlarmSpec, signal_lost_s: float) -> None:
        self.spec = spec
        self.state = State.INACTIVE
        self.acknowledged = False
        self.onset: Decision | None = None  # set unless INACTIVE
        self._signal_lost_s = signal_lost_s
        self._ended: Reason = "condition_ended"
        self._now_s = 0.0
        self._held_s = 0.0  # how much of the running delay has passed
        self._rest_until_s = float("-inf")  # not raised before: cooldown, or silenced
        self._escalate_at_s = float("inf")
        self.withheld = False  # this PENDING was told to be
        self._known: Decision | None = None  # the last window with evidence
        self._unbroken = False  # and none without lies after it

    @property
    def on(self) -> bool:
        """Whether the alarm was raised and has not ended."""
        return self.state in _ON

    def over(self, decision: Decision) -> bool | None:
        """Whether the window is over the threshold that holds in this state."""
        return self.spec.over(decision, on=self.state in {State.ACTIVE, State.CLEARING})

    def step(self, decision: Decision, over: bool | None, *, withhold: bool = False) -> Iterator[Transition]:
        """Take the next window and what it says; with `withhold` the alarm is not raised now."""
        known, self._now_s = self._known, decision.end_s
        if known is not None and decision.end_s - known.end_s >= self._signal_lost_s:
            yield from self._lose_signal()
            if over and self.spec.output is not None:
                over = self.over(decision)  # what keeps an alarm need not raise one
        if over is None:
            self._unbroken &= decision.cause is Cause.SHED  # which is as if the hop were longer
        else:
            self._weigh(decision, over)
            yield from self._due(withhold)
        if self.on and not self.acknowledged and self._now_s >= self._escalate_at_s - _ROUNDING_S:
            self._escalate_at_s = float("inf")
            yield "escalated", None

    def acknowledge(self) -> Iterator[Transition]:
        """Note that a person has seen the alarm."""
        if not self.on or self.acknowledged:
            return
        self.acknowledged = True
        yield "acknowledged", None
        if self.state is State.LATCHED:
            yield from self._end(self._ended)

    def silence(self, silence_s: float) -> Iterator[Transition]:
        """Acknowledge the alarm if it is on, and do not raise it anew for a while."""
        yield from self.acknowledge()
        self._rest_until_s = max(self._rest_until_s, self._now_s + silence_s)
        yield "silenced", None

    def finish(self, reason: Reason) -> Iterator[Transition]:
        """End the alarm, latched or not, as nothing will be heard of it any more."""
        if self.on:
            self.acknowledged = True
            yield from self._end(reason)
        self.state = State.INACTIVE

    def _weigh(self, decision: Decision, over: bool) -> None:
        """Let evidence change the state, or pass delay time."""
        known = self._known
        turn = _TURNS.get((self.state, over)) if over or self.state is not State.INACTIVE else None
        if turn is not None:
            self.state, self._held_s = turn, 0.0
        elif known is not None and self._unbroken and decision.first_sample <= known.end_sample:
            self._held_s += decision.end_s - known.end_s
        self._known, self._unbroken = decision, True
        if turn is State.PENDING:
            self.onset, self.acknowledged, self.withheld = decision, False, False

    def _due(self, withhold: bool) -> Iterator[Transition]:
        """Do what a delay that has passed asks for."""
        if self.state is State.PENDING and self._held_s >= self.spec.on_delay_s - _ROUNDING_S:
            if withhold or self._now_s < self._rest_until_s - _ROUNDING_S:
                told, self.withheld = self.withheld, True
                if not told:
                    yield "withheld", None
                return
            self.state = State.ACTIVE
            escalates = self.spec.priority == "high" and self.spec.escalate_s > 0
            self._escalate_at_s = self._now_s + self.spec.escalate_s if escalates else float("inf")
            yield "raised", None
        elif self.state is State.CLEARING and self._held_s >= self.spec.off_delay_s - _ROUNDING_S:
            yield from self._end("condition_ended")

    def _lose_signal(self) -> Iterator[Transition]:
        if self.state is State.PENDING:
            self.state = State.INACTIVE
        elif self.state in {State.ACTIVE, State.CLEARING}:
            yield from self._end("signal_lost")

    def _end(self, reason: Reason) -> Iterator[Transition]:
        if self.spec.latch and not self.acknowledged:
            self.state, self._ended = State.LATCHED, reason
        else:
            self.state = State.INACTIVE
            self._rest_until_s = max(self._rest_until_s, self._now_s + self.spec.cooldown_s)
            yield "cleared", reason
