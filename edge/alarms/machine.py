"""From decisions to alarm events: a small state machine per stream and label.

    INACTIVE ──over──► PENDING ──on delay──► ACTIVE ──under──► CLEARING ──off delay──► INACTIVE, or LATCHED
        ▲                 │ under               ▲                  │ over                until acknowledged
        └─────────────────┘                     └──────────────────┘

Each window is evidence for a label (over its threshold, or under) or no evidence at all. A window that was not good,
or in which a technical output of the model (noise) is over its threshold, is no evidence about a rhythm: it confirms
nothing, denies nothing, and the delays stand still. Delay time passes only from one window with evidence to the next
one when no other lies between them and they overlap or adjoin. After `signal_lost_s` without evidence an alarm ends
with the reason `signal_lost`.

Pure and clock-free: time is the stream's. Knows nothing of models, wall time, transport or payloads.
"""

import enum
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edge.alarms.decision import Decision
from edge.bundle import Kind, Priority
from edge.samples import Cause

SIGNAL_LOST_S = 30.0
NAMESPACE = uuid.UUID("0b1ff3c8-6d0d-5c7e-8f0a-6a1c5ea0ec90")  # of the ids of this project's alarms
_ROUNDING_S = 1e-6  # delays are sums of floats

What = Literal["raised", "cleared", "acknowledged"]
Reason = Literal["condition_ended", "signal_lost", "stream_end"]


class State(enum.Enum):
    """Where an alarm stands."""

    INACTIVE = "inactive"
    PENDING = "pending"  # over the threshold, the on delay is running
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
    """When one alarm is raised and when it ends; driven by an output of the model or by causes of bad windows."""

    label: str
    name: str
    snomed: str | None = None
    kind: Kind = "physiological"
    priority: Priority = "none"  # none: never raised
    output: int | None = None  # index in the model's probabilities
    threshold: float | None = None  # of that output
    causes: frozenset[Cause] = frozenset()  # without an output: the windows that count as over
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    latch: bool = False

    @property
    def gates(self) -> bool:
        """Whether windows over the threshold say nothing about rhythms."""
        return self.kind == "technical" and self.output is not None

    def over(self, decision: Decision) -> bool | None:
        """Whether the window is over the threshold; None when it says nothing about it."""
        if self.output is None or self.threshold is None:
            return decision.cause in self.causes
        if decision.probabilities is None:
            return None
        return bool(decision.probabilities[self.output] >= self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvent:
    """An alarm was raised, cleared or acknowledged.

    The ids follow from stream, epoch, label and onset alone, so that a replay gives them again over any wire.
    """

    what: What
    id: uuid.UUID  # of this event
    alarm_id: uuid.UUID  # the same from raised to cleared
    spec: AlarmSpec
    stream: str
    epoch: str
    onset_sample: int  # end of the first window over the threshold: when the evidence was first there
    onset_s: float  # the same in stream time
    first_sample: int  # of the window that decided
    end_sample: int
    end_s: float
    leads: tuple[str, ...]  # kept in that window
    probability: float | None  # in that window; None where there was none
    reason: Reason | None = None  # why it was cleared


class _Track:
    """One label of one stream."""

    def __init__(self, spec: AlarmSpec, signal_lost_s: float) -> None:
        self.spec = spec
        self.state = State.INACTIVE
        self.acknowledged = False
        self.onset: Decision | None = None  # set unless INACTIVE
        self._signal_lost_s = signal_lost_s
        self._ended: Reason = "condition_ended"
        self._held_s = 0.0  # how much of the running delay has passed
        self._known: Decision | None = None  # the last window with evidence
        self._unbroken = False  # and none without lies after it

    def step(self, decision: Decision, over: bool | None) -> Iterator[tuple[What, Reason | None]]:
        known = self._known
        if known is not None and decision.end_s - known.end_s >= self._signal_lost_s:
            yield from self._lose_signal()
        if over is None:
            self._unbroken = False
            return
        turn = _TURNS.get((self.state, over))
        if turn is not None:
            self.state, self._held_s = turn, 0.0
        elif known is not None and self._unbroken and decision.first_sample <= known.end_sample:
            self._held_s += decision.end_s - known.end_s
        self._known, self._unbroken = decision, True
        if turn is State.PENDING:
            self.onset, self.acknowledged = decision, False
        if self.state is State.PENDING and self._held_s >= self.spec.on_delay_s - _ROUNDING_S:
            self.state = State.ACTIVE
            yield "raised", None
        elif self.state is State.CLEARING and self._held_s >= self.spec.off_delay_s - _ROUNDING_S:
            yield from self._end("condition_ended")

    def acknowledge(self) -> Iterator[tuple[What, Reason | None]]:
        if self.state not in _ON or self.acknowledged:
            return
        self.acknowledged = True
        yield "acknowledged", None
        if self.state is State.LATCHED:
            yield from self._end(self._ended)

    def finish(self) -> Iterator[tuple[What, Reason | None]]:
        if self.state in _ON:
            self.acknowledged = True
            yield from self._end("stream_end")
        self.state = State.INACTIVE

    def _lose_signal(self) -> Iterator[tuple[What, Reason | None]]:
        if self.state is State.PENDING:
            self.state = State.INACTIVE
        elif self.state in {State.ACTIVE, State.CLEARING}:
            yield from self._end("signal_lost")

    def _end(self, reason: Reason) -> Iterator[tuple[What, Reason | None]]:
        if self.spec.latch and not self.acknowledged:
            self.state, self._ended = State.LATCHED, reason
        else:
            self.state = State.INACTIVE
            yield "cleared", reason


class AlarmMachine:
    """All alarms of one epoch of one stream.

    Parameters
    ----------
    stream, epoch : names that make the ids of the alarms unique
    specs : one for each label; those of priority `none` raise nothing
    signal_lost_s : how long an alarm outlives the last window that could tell
    """

    def __init__(
        self, stream: str, epoch: str, specs: Sequence[AlarmSpec], *, signal_lost_s: float = SIGNAL_LOST_S
    ) -> None:
        self._stream = stream
        self._epoch = epoch
        self._gates = tuple(spec for spec in specs if spec.gates)
        self._tracks = {spec.label: _Track(spec, signal_lost_s) for spec in specs if spec.priority != "none"}
        self._last: Decision | None = None

    def state(self, label: str) -> State:
        """Return where the alarm of one label stands."""
        track = self._tracks.get(label)
        return State.INACTIVE if track is None else track.state

    def step(self, decision: Decision) -> list[AlarmEvent]:
        """Take the next window of the stream and return what follows from it."""
        self._last = decision
        gated = any(spec.over(decision) for spec in self._gates)
        events = []
        for track in self._tracks.values():
            spec = track.spec
            over = None if gated and spec.kind == "physiological" else spec.over(decision)
            events += [self._event(track, decision, *moment) for moment in track.step(decision, over)]
        return events

    def acknowledge(self, label: str) -> list[AlarmEvent]:
        """Note that a person has seen the alarm: a latched one ends now, another one when its condition does.

        Where there is nothing to acknowledge the answer is empty. Stream time is that of the last window.
        """
        track, last = self._tracks.get(label), self._last
        if track is None or last is None:
            return []
        return [self._event(track, last, *moment) for moment in track.acknowledge()]

    def finish(self) -> list[AlarmEvent]:
        """End the stream: every alarm that is on, latched or not, is cleared with the reason `stream_end`."""
        last = self._last
        if last is None:
            return []
        tracks = self._tracks.values()
        return [self._event(track, last, *moment) for track in tracks for moment in track.finish()]

    def _event(self, track: _Track, decision: Decision, what: What, reason: Reason | None) -> AlarmEvent:
        spec, onset = track.spec, track.onset or decision
        name = f"{self._stream}/{self._epoch}/{spec.label}/{onset.end_sample}"
        alarm_id = uuid.uuid5(NAMESPACE, name)
        outputs = decision.probabilities
        return AlarmEvent(
            what=what,
            id=uuid.uuid5(alarm_id, what),
            alarm_id=alarm_id,
            spec=spec,
            stream=self._stream,
            epoch=self._epoch,
            onset_sample=onset.end_sample,
            onset_s=onset.end_s,
            first_sample=decision.first_sample,
            end_sample=decision.end_sample,
            end_s=decision.end_s,
            leads=decision.leads,
            probability=None if spec.output is None or outputs is None else float(outputs[spec.output]),
            reason=reason,
        )
