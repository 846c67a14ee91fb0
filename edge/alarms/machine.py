"""From decisions to alarm events: the alarms of one epoch of one stream, each a `Track`.

Each window is evidence for a label (over its threshold, or under) or no evidence at all. A window that was not good,
or in which a technical output of the model (noise) is over its threshold, is no evidence about a rhythm: it confirms
nothing, denies nothing, and the delays stand still. Delay time passes only from one window with evidence to the next
one when no other lies between them and they overlap or adjoin. After `signal_lost_s` without evidence an alarm ends
with the reason `signal_lost`. A window that was given up under overload is no evidence either, and breaks no stretch.
The beats are evidence of their own, in bad and in noisy windows too, as far as there was something to see.

When too many alarms come at once, the storm is one alarm more, and those below high priority are withheld while it
lasts; its events say how many of each label came.

Pure and clock-free: time is the stream's. Knows nothing of models, wall time, transport or payloads.
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
NAMESPACE = uuid.UUID("0b1ff3c8-6d0d-5c7e-8f0a-6a1c5ea0ec90")  # of the ids of this project's alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvent:
    """Something happened to an alarm.

    The ids follow from stream, epoch, label and onset alone, so that a replay gives them again over any wire.
    """

    what: EventKind
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
    evidence: Evidence | None = None  # the window that decided, where one did
    came: dict[str, int] | None = None  # of a storm alone: how many alarms of each label came, the withheld too


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
        self._signal_lost_s = signal_lost_s
        self._last: Decision | None = None
        self._tracks: dict[str, Track] = {}
        self._came: deque[tuple[float, str]] = deque()
        self._in_storm: Counter[str] = Counter()  # alarms of each label in the storm that is on
        self._set_up(specs)

    def switch_specs(self, specs: Sequence[AlarmSpec]) -> list[AlarmEvent]:
        """Go on with the specs of another model: an alarm that is on and not among them is cleared."""
        last, before = self._last, self._tracks
        gone = before.keys() - {spec.label for spec in specs if spec.priority != "none"}
        ended = [track for label, track in before.items() if label in gone]
        events = [] if last is None else [e for t in ended for e in self._events(t, last, t.finish("model_changed"))]
        self._set_up(specs)
        return events

    def _set_up(self, specs: Sequence[AlarmSpec]) -> None:
        """Make the tracks; one that is there already stays where it stands."""
        self._gates = tuple(spec for spec in specs if spec.gates)
        raised = (spec for spec in specs if spec.priority != "none")
        in_order = sorted(raised, key=lambda spec: spec.storm_limit is not None)  # the storm comes after what it counts
        before, self._tracks = self._tracks, {}
        for spec in in_order:
            track = before.get(spec.label) or Track(spec, self._signal_lost_s)
            track.spec = spec
            self._tracks[spec.label] = track
        self._storm = next((track for track in self._tracks.values() if track.spec.storm_limit is not None), None)
        self._came = deque(self._came, maxlen=self._storm.spec.storm_limit if self._storm else 0)

    def state(self, label: str) -> State:
        """Return where the alarm of one label stands."""
        track = self._tracks.get(label)
        return State.INACTIVE if track is None else track.state

    def step(self, decision: Decision) -> list[AlarmEvent]:
        """Take the next window of the stream and return what follows from it."""
        self._last = decision
        gated = any(spec.over(decision) for spec in self._gates)
        storm = self._storm is not None and self._storm.on
        events: list[AlarmEvent] = []
        for track in self._tracks.values():
            withhold = storm and track is not self._storm and track.spec.priority != "high"
            moments = track.step(decision, self._over(track, decision, gated), withhold=withhold)
            events += self._events(track, decision, moments)
        return events

    def acknowledge(self, label: str) -> list[AlarmEvent]:
        """Note that a person has seen the alarm: a latched one ends now, another one when its condition does.

        Where there is nothing to acknowledge the answer is empty. Stream time is that of the last window.
        """
        return self.on_command(Command(command="acknowledge", label=label))

    def on_command(self, command: Command) -> list[AlarmEvent]:
        """Do what a person asks; the answer is empty where there is no such alarm, or nothing to acknowledge."""
        track, last = self._tracks.get(command.label), self._last
        if track is None or last is None:
            return []
        if command.alarm_id is not None and command.alarm_id != str(self._alarm_id(track, last)):
            return []
        wish = track.silence(command.silence_s) if command.command == "silence" else track.acknowledge()
        return self._events(track, last, wish)

    def finish(self) -> list[AlarmEvent]:
        """End the stream: every alarm that is on, latched or not, is cleared with the reason `stream_end`."""
        last = self._last
        if last is None:
            return []
        tracks = self._tracks.values()
        return [event for track in tracks for event in self._events(track, last, track.finish("stream_end"))]

    def _over(self, track: Track, decision: Decision, gated: bool) -> bool | None:
        spec = track.spec
        if spec.storm_limit is not None:
            full = len(self._came) == spec.storm_limit
            return full and decision.end_s - self._came[0][0] < spec.storm_window_s
        if gated and (spec.gated or spec.by_gates):
            return True if spec.by_gates else None
        return track.over(decision)

    def _alarm_id(self, track: Track, decision: Decision) -> uuid.UUID:
        onset = track.onset or decision
        return uuid.uuid5(NAMESPACE, f"{self._stream}/{self._epoch}/{track.spec.label}/{onset.end_sample}")

    def _events(self, track: Track, decision: Decision, moments: Iterable[Transition]) -> list[AlarmEvent]:
        """Make the event of each moment while the track still stands there."""
        events = []
        for what, reason in moments:
            if what in {"raised", "withheld"}:
                self._count(track, decision, anew=what == "withheld" or not track.withheld)
            if what != "withheld":
                events.append(self._event(track, decision, what, reason))
        return events

    def _count(self, track: Track, decision: Decision, *, anew: bool) -> None:
        """Count an alarm that came; one that was withheld and is raised at last is no new one for the sum."""
        if track is self._storm:
            self._in_storm = Counter(label for _, label in self._came)
        else:
            self._came.append((decision.end_s, track.spec.label))
            self._in_storm.update([track.spec.label] if anew else [])

    def _event(self, track: Track, decision: Decision, what: EventKind, reason: Reason | None) -> AlarmEvent:
        spec, onset = track.spec, track.onset or decision
        alarm_id, outputs = self._alarm_id(track, decision), decision.probabilities
        return AlarmEvent(
            what=what,
            id=uuid.uuid5(alarm_id, what if what != "silenced" else f"silenced/{decision.end_sample}"),
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
            came=dict(self._in_storm) if track is self._storm else None,
        )
