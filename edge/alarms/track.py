"""One alarm of one stream: when it is raised, when it ends, and how it reacts to people.

    INACTIVE ──over──► PENDING ──on delay──► ACTIVE ──under──► CLEARING ──off delay──► INACTIVE, or LATCHED
        ▲                 │ under               ▲                  │ over                until acknowledged
        └─────────────────┘                     └──────────────────┘

A window is over when the alarm's condition holds in it, else under. The clear threshold, where there is one, replaces
the threshold while the alarm is ACTIVE or CLEARING (hysteresis). After its on delay an alarm stays PENDING while it is
withheld: in its cooldown, while it is silenced, and, below high priority, during an alarm storm. It is raised
afterwards if it is still over. An alarm of high priority that nobody acknowledges is sent again, once, as escalated.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edge.alarms.decision import Decision
from edge.bundle.manifest import AlarmKind, Priority
from edge.core.samples import Cause
from edge.signal.analyzer import HeartRate

ESCALATE_S = 60.0
_ROUNDING_S = 1e-6  # the passed part of a delay is a sum of floats

EventKind = Literal["raised", "cleared", "acknowledged", "escalated", "silenced"]
Reason = Literal["condition_ended", "signal_lost", "stream_end", "model_changed"]
Transition = tuple[EventKind | Literal["withheld"], Reason | None]


class State(enum.Enum):
    """State of an alarm."""

    INACTIVE = "inactive"
    PENDING = "pending"  # over; the on delay is running, or the alarm is withheld
    ACTIVE = "active"
    CLEARING = "clearing"  # still on, but under; the off delay is running
    LATCHED = "latched"  # still on; the condition has ended, but nobody acknowledged the alarm


# Keys are state and whether the window is over; where a key is missing, the state stays.
_NEXT_STATE = {
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

    Its condition is one of these: an output of the model, causes of bad windows, the overload of the device, the heart
    beats, or the number of the stream's other alarms.
    """

    label: str
    name: str
    snomed: str | None = None
    kind: AlarmKind = "physiological"
    priority: Priority = "none"  # none: never raised
    output: int | None = None  # index in the model's probabilities
    threshold: float | None = None  # of that output
    clear_threshold: float | None = None  # the alarm lasts while the output is not below this
    causes: frozenset[Cause] = frozenset()  # without an output: windows with these causes are over
    by_gates: bool = False  # without an output: windows in which an output that gates is over are over too
    overload: bool = False  # without an output: over while windows are shed
    pause_s: float | None = None  # over when the last beat was so long ago
    below_bpm: float | None = None  # over when the rate of the last beats is lower
    above_bpm: float | None = None  # over when it is higher
    rhythm: bool = False  # over while the rules on the beats say that the rhythm of this label holds
    storm_limit: int | None = None  # over when so many alarms came, withheld ones included, within `storm_window_s`
    storm_window_s: float = 60.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    cooldown_s: float = 0.0  # least time from the end of the alarm until it is raised again
    escalate_s: float = ESCALATE_S  # for high priority only; 0: never
    latch: bool = False

    @property
    def gates(self) -> bool:
        """Whether a window that is over for this alarm is no evidence about rhythms: the model says it is noise."""
        return self.kind == "technical" and self.output is not None

    @property
    def gated(self) -> bool:
        """Whether a window that is over for an alarm that gates is no evidence for this alarm."""
        return self.kind == "physiological" and not self.by_beats

    @property
    def by_beats(self) -> bool:
        """Whether the condition is about the heart beats, and not an output of the model."""
        return self.rhythm or any(limit is not None for limit in (self.pause_s, self.below_bpm, self.above_bpm))

    def over(self, decision: Decision, *, on: bool = False) -> bool | None:
        """Return whether the window is over; None when it is no evidence. `on`: whether the alarm is on."""
        if self.rhythm:
            return None if decision.rhythms is None else self.label in decision.rhythms
        if self.by_beats:
            return self._over_by_beats(decision.heart_rate)
        if self.output is None or self.threshold is None:
            return decision.cause in self.causes or (self.overload and decision.overload)
        if decision.probabilities is None:
            return None
        level = self.clear_threshold if on and self.clear_threshold is not None else self.threshold
        return bool(decision.probabilities[self.output] >= level)

    def probability(self, decision: Decision) -> float | None:
        """Return the probability of the alarm's condition in a window; None where nothing gives one."""
        if self.rhythm:
            return None if decision.rhythms is None else decision.rhythms.get(self.label)
        if self.output is None or decision.probabilities is None:
            return None
        return float(decision.probabilities[self.output])

    def _over_by_beats(self, heart: HeartRate) -> bool | None:
        if self.pause_s is not None:
            return None if heart.pause_s is None else heart.pause_s >= self.pause_s
        if heart.rate_bpm is None:
            return None
        slow = self.below_bpm is not None and heart.rate_bpm < self.below_bpm
        return slow or (self.above_bpm is not None and heart.rate_bpm > self.above_bpm)


class Track:
    """The alarm of one label of one stream.

    Parameters
    ----------
    spec : when it is raised and when it ends
    signal_lost_s : without evidence for so long, the alarm ends
    """

    def __init__(self, spec: AlarmSpec, signal_lost_s: float) -> None:
        self.spec = spec
        self.state = State.INACTIVE
        self.acknowledged = False
        self.onset: Decision | None = None  # the window that made it PENDING; its end makes the alarm's id
        self.withheld = False  # "withheld" was yielded for this onset
        self._signal_lost_s = signal_lost_s
        self._end_reason: Reason = "condition_ended"  # kept while LATCHED
        self._now_s = 0.0  # end of the latest window
        self._delay_passed_s = 0.0  # part of the running delay that has passed
        self._not_before_s = float("-inf")  # not raised before: end of the cooldown or of the silence
        self._escalate_at_s = float("inf")
        self._evidence: Decision | None = None  # the last window that was evidence
        self._unbroken = False  # only shed windows lie between that one and now

    @property
    def on(self) -> bool:
        """Whether the alarm was raised and has not ended."""
        return self.state in _ON

    def over(self, decision: Decision) -> bool | None:
        """Return whether the window is over by the threshold that applies in this state; None: no evidence."""
        return self.spec.over(decision, on=self.state in {State.ACTIVE, State.CLEARING})

    def step(self, decision: Decision, over: bool | None, *, withhold: bool = False) -> Iterator[Transition]:
        """Take the next window and whether it is over; with `withhold` the alarm is not raised now."""
        previous, self._now_s = self._evidence, decision.end_s
        if previous is not None and decision.end_s - previous.end_s >= self._signal_lost_s:
            yield from self._lose_signal()
            # The alarm may have ended just now, and then the higher threshold applies.
            if over and self.spec.output is not None:
                over = self.over(decision)
        if over is None:
            # A shed window changes nothing, as if the hop were longer. Any other stops the delays.
            self._unbroken &= decision.cause is Cause.SHED
        else:
            self._add_evidence(decision, over)
            yield from self._check_delay(withhold)
        if self.on and not self.acknowledged and self._now_s >= self._escalate_at_s - _ROUNDING_S:
            self._escalate_at_s = float("inf")
            yield "escalated", None

    def acknowledge(self) -> Iterator[Transition]:
        """Note that a person has seen the alarm; a latched one ends."""
        if not self.on or self.acknowledged:
            return
        self.acknowledged = True
        yield "acknowledged", None
        if self.state is State.LATCHED:
            yield from self._end(self._end_reason)

    def silence(self, silence_s: float) -> Iterator[Transition]:
        """Acknowledge the alarm if it is on, and do not raise it again for a while."""
        yield from self.acknowledge()
        self._not_before_s = max(self._not_before_s, self._now_s + silence_s)
        yield "silenced", None

    def finish(self, reason: Reason) -> Iterator[Transition]:
        """End the alarm, latched or not, because no more windows come for it."""
        if self.on:
            self.acknowledged = True  # so that it does not latch
            yield from self._end(reason)
        self.state = State.INACTIVE

    def _add_evidence(self, decision: Decision, over: bool) -> None:
        """Change the state, or else let the running delay go on."""
        previous = self._evidence
        state = _NEXT_STATE.get((self.state, over))
        if state is not None:
            self.state, self._delay_passed_s = state, 0.0
        elif previous is not None and self._unbroken and decision.first_sample <= previous.end_sample:
            # Time counts only where both windows overlap or adjoin: nothing is known of a gap between them.
            self._delay_passed_s += decision.end_s - previous.end_s
        self._evidence, self._unbroken = decision, True
        if state is State.PENDING:
            self.onset, self.acknowledged, self.withheld = decision, False, False

    def _check_delay(self, withhold: bool) -> Iterator[Transition]:
        """Raise or end the alarm when its delay has passed."""
        if self.state is State.PENDING and self._delay_passed_s >= self.spec.on_delay_s - _ROUNDING_S:
            if withhold or self._now_s < self._not_before_s - _ROUNDING_S:
                if not self.withheld:
                    self.withheld = True
                    yield "withheld", None
                return
            self.state = State.ACTIVE
            escalates = self.spec.priority == "high" and self.spec.escalate_s > 0
            self._escalate_at_s = self._now_s + self.spec.escalate_s if escalates else float("inf")
            yield "raised", None
        elif self.state is State.CLEARING and self._delay_passed_s >= self.spec.off_delay_s - _ROUNDING_S:
            yield from self._end("condition_ended")

    def _lose_signal(self) -> Iterator[Transition]:
        if self.state is State.PENDING:
            self.state = State.INACTIVE
        elif self.state in {State.ACTIVE, State.CLEARING}:
            yield from self._end("signal_lost")

    def _end(self, reason: Reason) -> Iterator[Transition]:
        if self.spec.latch and not self.acknowledged:
            self.state, self._end_reason = State.LATCHED, reason
        else:
            self.state = State.INACTIVE
            self._not_before_s = max(self._not_before_s, self._now_s + self.spec.cooldown_s)
            yield "cleared", reason
