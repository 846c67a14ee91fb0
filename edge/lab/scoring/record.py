"""One record: its decisions and alarm events, put together to alarms and compared with the annotation."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmEvent, AlarmSpec
from edge.bundle.manifest import Manifest
from edge.core.leads import LEADS, lead_positions
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.beats import Beats, Confusion
from edge.lab.scoring.beats import compare as compare_beats
from edge.lab.scoring.episodes import Alarm, Counts, compare
from edge.lab.scoring.reference import BEAT_LABELS, holds_in_window, references
from edge.lab.scoring.spans import Spans
from edge.monitor.update import StreamUpdate

# "An alarm for a run of three or four counts as VT where the reference says VT" (see `reference`, VT from 3 beats on).
LONG_RUN, SHORT_RUN = "VT", "NSVT"
URGENT = ("medium", "high")
# How long before the first decision about it a rhythm of the beats began, about: its beats, the beat after it, which
# the classes need, and half a hop. Its end is known after two other beats.
_RUN_TAKES_S, _END_TAKES_S = 3.0, 1.5
_BEATS_TAKE_S = {
    "BIGEMINY": 5.0,
    "TRIGEMINY": 8.0,
    "AIVR": 4.0,
    "ASYSTOLE": 4.5,
    "PAUSE": 4.5,
    "EXTREME_BRADY": 8.0,
    "EXTREME_TACHY": 8.0,
}


@dataclass
class StreamOutput:
    """A sink that collects the output of one stream: a decision for each window, and the alarm events."""

    sample_rate_hz: float = 0.0
    decisions: list[Decision] = field(default_factory=list)
    events: list[AlarmEvent] = field(default_factory=list)
    leads: tuple[str, ...] = ()  # leads of the stream that are among the twelve standard ones

    def __call__(self, update: StreamUpdate) -> None:
        """Keep one update."""
        monitor = update.monitor
        self.sample_rate_hz = monitor.sample_rate_hz
        self.leads = tuple(LEADS[place] for place in lead_positions(monitor.leads) if place is not None)
        if update.decision is not None:
            self.decisions.append(update.decision)
        self.events += update.events


def alarm_times(output: StreamOutput, end_s: float) -> dict[str, Spans]:
    """Return for each label when its alarms were on, from raised to cleared, as (alarms, 2)."""
    cleared = {event.alarm_id: event.end_s for event in output.events if event.kind == "cleared"}
    times: dict[str, list[tuple[float, float]]] = {}
    for event in output.events:
        if event.kind == "raised":
            times.setdefault(event.spec.label, []).append((event.end_s, cleared.get(event.alarm_id, end_s)))
    return {label: np.array(spans, np.float64) for label, spans in times.items()}


def compare_qrs(annotation: Annotation, output: StreamOutput, start_s: float) -> Confusion:
    """Compare the QRS complexes that a stream found with the annotated ones, from `start_s` on."""
    if annotation.qrs is None:
        return Confusion()
    samples = sorted(beat for decision in output.decisions for beat in decision.beats)
    found = Beats(np.array(samples, np.float64) / output.sample_rate_hz, "N" * len(samples))
    return compare_beats(annotation.qrs, found, start_s=start_s)


@dataclass(frozen=True)
class AlarmCounts:
    """Alarms of one record, counted by label."""

    labels: dict[str, Counts]  # labels that the record annotates
    unannotated: dict[str, int]  # alarms of other labels: the annotation does not tell whether they were right
    urgent_false: int = 0  # false alarms of medium or high priority


class AlarmScorer:
    """Compares the alarms of one bundle with annotations.

    Parameters
    ----------
    manifest : of the bundle that made the decisions
    specs : its alarms; those of priority `none` never raise and are not scored
    start_s : end of the learning period
    """

    def __init__(self, manifest: Manifest, specs: Sequence[AlarmSpec], start_s: float) -> None:
        self._start_s = start_s
        self._window_s, self._hop_s = manifest.input.window_s, manifest.input.hop_s
        self._pooling = manifest.pooling
        self._specs = [spec for spec in specs if spec.priority != "none"]
        self._gates = [spec for spec in specs if spec.gates]

    def score(self, annotation: Annotation, output: StreamOutput) -> AlarmCounts:
        """Count the right, false and missed alarms of one record."""
        annotated = references(annotation, self._window_s)
        beats = self.beat_windows(annotation, output)
        labels, unannotated, urgent_false = {}, {}, 0
        for spec in self._specs:
            if spec.label == SHORT_RUN and LONG_RUN in annotated:
                continue  # counts as LONG_RUN
            reference = annotated.get(spec.label)
            if reference is None or spec.kind == "technical":  # no annotation to compare with
                raised = (event for event in output.events if event.kind == "raised" and event.spec.label == spec.label)
                unannotated[spec.label] = sum(self._start_s <= event.end_s for event in raised)
                continue
            counts = compare(reference, self._alarms_of(spec, output), self._start_s, annotation.end_s)
            labels[spec.label] = counts + beats.get(spec.label, Counts())
            urgent_false += (counts.alarms - counts.right) * (spec.priority in URGENT)
        return AlarmCounts(labels, unannotated, urgent_false)

    def _alarms_of(self, spec: AlarmSpec, output: StreamOutput) -> list[Alarm]:
        """Return the alarms that the reference of a label judges: an alarm for a run of three or four counts as VT."""
        labels = (LONG_RUN, SHORT_RUN) if spec.label == LONG_RUN else (spec.label,)
        return [alarm for each in self._specs if each.label in labels for alarm in self.alarms(each, output)]

    def beat_windows(self, annotation: Annotation, output: StreamOutput) -> dict[str, Counts]:
        """Count for each beat label the windows that have it, those over its threshold, and those that are both."""
        if not annotation.times_s.size:
            return {}
        return {
            spec.label: self._beat_windows(spec, annotation, output)
            for spec in self._specs
            if spec.label in BEAT_LABELS
        }

    def alarms(self, spec: AlarmSpec, output: StreamOutput) -> list[Alarm]:
        """Put the events of one label together to alarms, each from its raise to its end."""
        events = [event for event in output.events if event.spec.label == spec.label]
        ended = {event.alarm_id: event.end_s for event in events if event.kind == "cleared"}
        alarms = []
        for event in events:
            if event.kind == "raised":
                last_s = ended.get(event.alarm_id, output.decisions[-1].end_s)
                windows = [decision for decision in output.decisions if event.onset_s <= decision.end_s <= last_s]
                over = [
                    decision
                    for decision in windows
                    if self._is_evidence(spec, decision, on=decision.end_s > event.end_s)
                ]
                alarms.append(self._alarm(event, over, last_s, output))
        return alarms

    def _is_evidence(self, spec: AlarmSpec, decision: Decision, *, on: bool) -> bool:
        """Return whether a window counts for the alarm, by the rule of `edge.alarms.machine`."""
        # The machine's own rule, as events do not list their windows: one below the threshold may lie within an alarm.
        gated = spec.gated and any(gate.over(decision) for gate in self._gates)
        return not gated and bool(spec.over(decision, on=on))

    def _alarm(self, raised: AlarmEvent, windows: Sequence[Decision], end_s: float, output: StreamOutput) -> Alarm:
        if raised.spec.rhythm or raised.spec.by_beats or not windows:
            # Not made of what a window holds: the beats of the rhythm came before the decision about it.
            last_s = windows[-1].end_s if windows else end_s
            began_s = raised.onset_s - _BEATS_TAKE_S.get(raised.spec.label, _RUN_TAKES_S)
            return Alarm(
                raised_s=raised.end_s,
                covered_s=(began_s - self._hop_s, last_s),
                active_s=(began_s, max(last_s - _END_TAKES_S, began_s + self._hop_s)),
            )
        first_s, last_s = (decision.first_sample / output.sample_rate_hz for decision in (windows[0], windows[-1]))
        reach_s = self._reach_s(raised.spec.label)
        middle_s = (self._window_s - reach_s) / 2  # of the pooled windows together, counted from the last one's start
        return Alarm(
            raised_s=raised.end_s,
            covered_s=(first_s - reach_s, windows[-1].end_s),
            # Half a hop on both sides, as each window stands for the time up to the next one.
            active_s=(first_s + middle_s - self._hop_s / 2, last_s + middle_s + self._hop_s / 2),
        )

    def _reach_s(self, label: str) -> float:
        """How far pooling makes an output look back before the start of its own window."""
        return (self._pooling.of(label) - 1) * self._hop_s

    def _beat_windows(self, spec: AlarmSpec, annotation: Annotation, output: StreamOutput) -> Counts:
        pairs = []
        for decision in output.decisions:
            first_s, over = decision.first_sample / output.sample_rate_hz, spec.over(decision)
            # With pooling the output also saw earlier windows; a beat in any of them makes it right.
            seen_from_s = max(first_s - self._reach_s(spec.label), 0.0)
            holds = holds_in_window(annotation, spec.label, seen_from_s, first_s + self._window_s)
            if over is not None and holds is not None and first_s >= self._start_s:
                pairs.append((holds, over))
        return Counts(
            windows_with=sum(holds for holds, _ in pairs),
            windows_over=sum(over for _, over in pairs),
            windows_right=sum(holds and over for holds, over in pairs),
        )
