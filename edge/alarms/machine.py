"""From decisions to alarm events: all alarms of one epoch of one stream.

For each alarm a window is over, under, or no evidence. A bad window is no evidence about a rhythm, nor is one that the
model calls noise: it neither raises nor ends an alarm, and the delays stand still. A delay goes on only between
windows with evidence that overlap or adjoin, with none but shed windows between them. After `signal_lost_s` without
evidence an alarm ends with the reason `signal_lost`. Alarms of the beats have evidence of their own, see `HeartRate`.

When too many alarms come at once, a storm alarm is raised as well. While it lasts, alarms below high priority are
withheld. Its events say how many alarms of each label came.

Time is the stream's own, so a replay gives the same events at any speed.
"""

import uuid
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.alarms.command import Command
from edge.alarms.decision import Decision
from edge.alarms.evidence import Evidence
from edge.alarms.track import AlarmSpec, EventKind, Reason, State, Track, Transition

__all__ = ["SIGNAL_LOST_S", "AlarmEvent", "AlarmMachine", "AlarmSpec", "EventKind", "Reason", "State"]

SIGNAL_LOST_S = 30.0
NAMESPACE = uuid.UUID("0b1ff3c8-6d0d-5c7e-8f0a-6a1c5ea0ec90")  # of alarm ids; never change it, as ids must repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvent:
    """Something that happened to an alarm.

    The ids are made from stream, epoch, label and onset alone, so that a replay over any wire gives the same ids.
    """

    kind: EventKind
    id: uuid.UUID  # of this event
    alarm_id: uuid.UUID  # the same from raised to cleared
    spec: AlarmSpec
    stream: str
    epoch: str
    onset_sample: int  # end of the first window that was over
    onset_s: float  # the same as stream time
    first_sample: int  # of the deciding window
    end_sample: int
    end_s: float
    leads: tuple[str, ...]  # kept in that window
    probability: float | None  # in that window; None where the model does not drive the alarm, or the window was bad
    reason: Reason | None = None  # why the alarm was cleared
    evidence: Evidence | None = None  # the deciding window; None where none decided, as after a command
    storm_counts: dict[str, int] | None = None  # for a storm only: alarms of each label, withheld ones included


class AlarmMachine:
    """All alarms of one epoch of one stream.

    Parameters
    ----------
    stream, epoch : names that make the ids of the alarms unique
    specs : one for each label; those of priority `none` raise nothing
    signal_lost_s : without evidence for so long, an alarm ends
    """

    def __init__(
        self, stream: str, epoch: str, specs: Sequence[AlarmSpec], *, signal_lost_s: float = SIGNAL_LOST_S
    ) -> None:
        self._stream = stream
        self._epoch = epoch
        self._signal_lost_s = signal_lost_s
        self._last: Decision | None = None
        self._tracks: dict[str, Track] = {}
        self._recent: deque[tuple[float, str]] = deque()  # stream time and label of the last `storm_limit` alarms
        self._storm_counts: Counter[str] = Counter()  # alarms of each label in the storm that is on
        self._set_up(specs)

    def switch_specs(self, specs: Sequence[AlarmSpec]) -> list[AlarmEvent]:
        """Continue with the specs of another model; an alarm that is on and not among them is cleared."""
        last, before = self._last, self._tracks
        gone = before.keys() - {spec.label for spec in specs if spec.priority != "none"}
        ended = [track for label, track in before.items() if label in gone]
        events = [] if last is None else [e for t in ended for e in self._events(t, last, t.finish("model_changed"))]
        self._set_up(specs)
        return events

    def _set_up(self, specs: Sequence[AlarmSpec]) -> None:
        """Make a track for each alarm that can be raised; existing tracks keep their state."""
        self._gates = tuple(spec for spec in specs if spec.gates)
        raised = (spec for spec in specs if spec.priority != "none")
        # The storm is stepped last, after the alarms that it counts.
        in_order = sorted(raised, key=lambda spec: spec.storm_limit is not None)
        before, self._tracks = self._tracks, {}
        for spec in in_order:
            track = before.get(spec.label) or Track(spec, self._signal_lost_s)
            track.spec = spec
            self._tracks[spec.label] = track
        self._storm = next((track for track in self._tracks.values() if track.spec.storm_limit is not None), None)
        self._recent = deque(self._recent, maxlen=self._storm.spec.storm_limit if self._storm else 0)

    def state(self, label: str) -> State:
        """Return the state of the alarm of one label."""
        track = self._tracks.get(label)
        return State.INACTIVE if track is None else track.state

    def step(self, decision: Decision) -> list[AlarmEvent]:
        """Take the next window of the stream and return the events that it causes."""
        self._last = decision
        gated = any(spec.over(decision) for spec in self._gates)
        storm = self._storm is not None and self._storm.on
        events: list[AlarmEvent] = []
        for track in self._tracks.values():
            withhold = storm and track is not self._storm and track.spec.priority != "high"
            transitions = track.step(decision, self._over(track, decision, gated), withhold=withhold)
            events += self._events(track, decision, transitions)
        return events

    def acknowledge(self, label: str) -> list[AlarmEvent]:
        """Note that a person has seen the alarm. A latched one ends now, any other when its condition ends."""
        return self.on_command(Command(command="acknowledge", label=label))

    def on_command(self, command: Command) -> list[AlarmEvent]:
        """Carry out a command; no events when there is no such alarm, or nothing to acknowledge.

        The events have the stream time of the last window. Before the first window there is no time, and no events.
        """
        track, last = self._tracks.get(command.label), self._last
        if track is None or last is None:
            return []
        if command.alarm_id is not None and command.alarm_id != str(self._alarm_id(track, last)):
            return []
        transitions = track.silence(command.silence_s) if command.command == "silence" else track.acknowledge()
        return self._events(track, last, transitions)

    def finish(self) -> list[AlarmEvent]:
        """End the stream; every alarm that is on, latched or not, is cleared with the reason `stream_end`."""
        last = self._last
        if last is None:
            return []
        tracks = self._tracks.values()
        return [event for track in tracks for event in self._events(track, last, track.finish("stream_end"))]

    def _over(self, track: Track, decision: Decision, gated: bool) -> bool | None:
        spec = track.spec
        if spec.storm_limit is not None:
            full = len(self._recent) == spec.storm_limit
            return full and decision.end_s - self._recent[0][0] < spec.storm_window_s
        if gated and (spec.gated or spec.by_gates):
            return True if spec.by_gates else None
        return track.over(decision)

    def _alarm_id(self, track: Track, decision: Decision) -> uuid.UUID:
        onset = track.onset or decision
        return uuid.uuid5(NAMESPACE, f"{self._stream}/{self._epoch}/{track.spec.label}/{onset.end_sample}")

    def _events(self, track: Track, decision: Decision, transitions: Iterable[Transition]) -> list[AlarmEvent]:
        """Return the events of transitions; each is made before the track, a generator, makes its next transition."""
        events = []
        for kind, reason in transitions:
            if kind in {"raised", "withheld"}:
                self._count(track, decision, new=kind == "withheld" or not track.withheld)
            if kind != "withheld":
                events.append(self._event(track, decision, kind, reason))
        return events

    def _count(self, track: Track, decision: Decision, *, new: bool) -> None:
        """Count an alarm for the storm. An alarm that was withheld and is raised later is not new in the sum."""
        if track is self._storm:
            self._storm_counts = Counter(label for _, label in self._recent)
        else:
            self._recent.append((decision.end_s, track.spec.label))
            self._storm_counts.update([track.spec.label] if new else [])

    def _event(self, track: Track, decision: Decision, kind: EventKind, reason: Reason | None) -> AlarmEvent:
        spec, onset = track.spec, track.onset or decision
        alarm_id = self._alarm_id(track, decision)
        return AlarmEvent(
            kind=kind,
            # Only a silence can happen to one alarm several times, so its time is part of its id.
            id=uuid.uuid5(alarm_id, kind if kind != "silenced" else f"silenced/{decision.end_sample}"),
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
            probability=spec.probability(decision),
            reason=reason,
            storm_counts=dict(self._storm_counts) if track is self._storm else None,
        )
