"""The monitor of one stream: its windows, its account and its alarms put together.

Clock-free; does no I/O. `set_inputs`, `push` and `finish` belong to the thread of the source, the rest to the
classifier thread. Both use the account, so it has a lock.

During a switch between two models that cut windows differently, the stream is cut for both, see `model_switch`.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.alarms.command import Command
from edge.alarms.decision import Decision
from edge.alarms.evidence import window_evidence
from edge.alarms.machine import AlarmEvent, AlarmMachine
from edge.alarms.specs import rhythm_limits
from edge.beats.classes import ClassifiedBeat
from edge.beats.fibrillation import Judged
from edge.beats.rhythms import StreamRhythms
from edge.beats.tracker import BeatSecond, BeatTracker
from edge.bundle.manifest import InputSpec
from edge.core.samples import Block, Cause
from edge.monitor.model import Model
from edge.monitor.pooling import Pooler
from edge.monitor.totals import Totals
from edge.signal.account import SampleAccount
from edge.signal.windows import Window, WindowStream

_GAP_PIECE = 4096  # instants; a long gap passes in pieces of this size, so that it needs no large array


class StreamMonitor:
    """Monitors one epoch of one stream.

    Parameters
    ----------
    first : the first block; it fixes rate, leads and where the samples begin
    epoch : names this count of samples; part of the ids of its alarms
    model : that decides
    inputs : how windows are cut, for each model that may have to decide

    Raises
    ------
    StreamError
        When no channel is a lead that the model knows, or the rate cannot be resampled.
    """

    def __init__(self, first: Block, epoch: str, model: Model, inputs: Sequence[InputSpec]) -> None:
        self.stream = first.stream
        self.epoch = epoch
        self.source_epoch = first.epoch  # as the source names it; a device may use a name again
        self.sample_rate_hz = first.sample_rate_hz
        self.leads = first.leads
        self.closed = False
        self.duplicates = 0  # instants that arrived twice
        self.windows = 0
        self.shed_windows = 0
        self.model = model
        self.rollback_windows: list[Window] = []  # for the previous model, should the new one fail
        self.decided_sample = 0  # end of the last window that was decided
        self._origin = first.first_sample  # windows and the account count from here, the device from its own 0
        self._inputs = inputs
        self._cutters = [WindowStream(spec, first.sample_rate_hz, first.leads) for spec in inputs]
        self._pooler = Pooler(model.manifest.pooling, model.labels)
        self._tracker = self._new_tracker() if model.classifies_beats else None
        self._rhythms = StreamRhythms(rhythm_limits(model.specs))
        self._new_beats: list[ClassifiedBeat] = []  # since the last decision
        self._alarms = AlarmMachine(first.stream, epoch, model.specs)
        self._account = SampleAccount()
        self._shed_end = 0  # of the last window that was shed
        self._lock = threading.Lock()

    @property
    def next_sample(self) -> int:
        """Index, as the device counts, of the instant that should come next."""
        return self._origin + self._arrived

    @property
    def _arrived(self) -> int:
        return self._cutters[0].arrived  # all cutters take the same samples

    @property
    def totals(self) -> Totals:
        """The account at this moment."""
        with self._lock:
            counts = self._account.counts
        return Totals(
            **counts.fields_for(Totals),
            duplicates=self.duplicates,
            windows=self.windows,
            shed_windows=self.shed_windows,
        )

    def set_inputs(self, inputs: Sequence[InputSpec]) -> None:
        """Cut windows in these ways from the next instant on; a way that is in use already continues.

        Raises
        ------
        StreamError
            When the rate cannot be resampled.
        """
        if inputs is self._inputs:
            return
        running = {cutter.spec: cutter for cutter in self._cutters}
        self._cutters = [
            running.get(spec) or WindowStream(spec, self.sample_rate_hz, self.leads, begins=self._arrived)
            for spec in inputs
        ]
        self._inputs = inputs

    def push(self, block: Block) -> Iterator[Window]:
        """Take the next block and yield each window that it completes; a jump ahead counts as a sequence gap."""
        self._count_late(*block.late)
        behind = min(self.next_sample - block.first_sample, block.samples.shape[1])
        if behind < 0:
            yield from self._gap(-behind)
        if behind > 0:
            # Instants that were counted as missing are late; the others were there already.
            late = self._count_late(block.first_sample, block.first_sample + behind)
            self.duplicates += behind - late
        samples, missing = block.samples[:, max(behind, 0) :], block.missing[:, max(behind, 0) :]
        if missing.shape[1]:
            yield from self._take(samples, missing)

    def describe_beats(self, window: Window) -> tuple[BeatSecond, ...]:
        """Return the beats that became known since the previous window; each window may be asked for once."""
        if self._tracker is None or window.spec != self._cutters[0].spec:
            return ()
        return tuple(self._tracker.describe(second) for second in window.seconds)

    def finish_beats(self) -> tuple[BeatSecond, ...]:
        """End the stream and return its last beats."""
        return () if self._tracker is None else (self._tracker.finish(self._arrived),)

    def finish(self) -> Iterator[Window]:
        """End the stream: yield the last window, if it is good although the stream ended within it."""
        yield from _in_order([cutter.finish() for cutter in self._cutters])

    def switch_model(self, model: Model) -> tuple[AlarmEvent, ...]:
        """Let another model decide from the next window on; return the events of alarms that it does not have.

        Those alarms are cleared. An alarm that both models have goes on. Outputs of two models are never pooled.
        """
        self.model = model
        self._pooler = Pooler(model.manifest.pooling, model.labels)
        return tuple(self._alarms.switch_specs(model.specs))

    def keep_for_rollback(self, window: Window) -> None:
        """Keep a window that the previous model may have to decide, and drop those that end in what is decided."""
        kept = (*self.rollback_windows, window)
        self.rollback_windows = [each for each in kept if each.end_sample > self.decided_sample]

    def step_rhythms(self, second: BeatSecond, beats: Sequence[ClassifiedBeat], judged: Judged | None) -> None:
        """Take the classes of the beats of a second; what follows from them is part of the next decision."""
        self._rhythms.step(second, beats, judged)
        self._new_beats += beats

    def decide(
        self, window: Window, probabilities: NDArray[np.float32] | None
    ) -> tuple[Decision, tuple[AlarmEvent, ...]]:
        """Take the next window with its (labels,) output, None for a bad one; return the decision and its events."""
        pooled = self._pooler.push(probabilities)
        decision = Decision(
            stream=self.stream,
            first_sample=self._origin + window.first_sample,
            end_sample=self._origin + window.end_sample,
            end_s=(self._origin + window.end_sample) / self.sample_rate_hz,
            cause=window.cause,
            overload=window.overload,
            leads=window.leads,
            probabilities=pooled,
            heart_rate=window.heart_rate,
            beats=tuple(self._origin + beat for beat in window.beats),
            rhythms=self._rhythms.take(),
            classified=tuple(self._new_beats),
        )
        self._new_beats = []
        with self._lock:
            if decision.good:
                self._account.classify(window.first_sample, window.end_sample)
            if window.cause is Cause.SHED:
                self._shed_end = window.end_sample  # instants before this that stay unclassified were shed
            self._settle(window.settled_sample, Cause.BAD_QUALITY)
        self.windows += 1
        self.shed_windows += window.cause is Cause.SHED
        self.decided_sample = max(self.decided_sample, window.end_sample)
        events = self._alarms.step(decision)
        if events:
            evidence = window_evidence(window, pooled, self.model.labels, self.model.input.sample_rate_hz)
            events = [replace(event, evidence=evidence) for event in events]
        return decision, tuple(events)

    def on_command(self, command: Command) -> tuple[AlarmEvent, ...]:
        """Carry out a person's command to an alarm."""
        return tuple(self._alarms.on_command(command))

    def close(self) -> tuple[AlarmEvent, ...]:
        """Settle the account after the last decision, and end every alarm that is on."""
        with self._lock:
            # What is still pending lies after the last window.
            self._settle(self._account.samples_in, Cause.TAIL)
        self.closed = True
        return tuple(self._alarms.finish())

    def _settle(self, end: int, cause: Cause) -> None:
        """Make final what lies before `end`; instants that only a shed window held were lost to the shedding."""
        self._account.settle(min(end, self._shed_end), Cause.SHED)
        self._account.settle(end, cause)

    def _gap(self, instants: int) -> Iterator[Window]:
        rows = len(self.leads)
        for done in range(0, instants, _GAP_PIECE):
            shape = (rows, min(_GAP_PIECE, instants - done))
            yield from self._take(np.zeros(shape, np.float32), np.full(shape, Cause.SEQUENCE_GAP, np.uint8))

    def _count_late(self, first_sample: int, end_sample: int) -> int:
        with self._lock:
            return self._account.arrive_late(first_sample - self._origin, end_sample - self._origin)

    def _take(self, samples: NDArray[np.float32], missing: NDArray[np.uint8]) -> Iterator[Window]:
        with self._lock:
            self._account.add(self._cutters[0].instant_causes(missing))
        if self._tracker is not None:
            rows = self._cutters[0].rows
            self._tracker.push(samples[rows], missing[rows])
        yield from _in_order([cutter.push(samples, missing) for cutter in self._cutters])

    def _new_tracker(self) -> BeatTracker:
        return BeatTracker(self._cutters[0].leads, self.sample_rate_hz)


def _in_order(cuts: list[Iterator[Window]]) -> Iterator[Window]:
    """Yield the windows by their ends."""
    if len(cuts) == 1:
        return cuts[0]
    return iter(sorted((window for cut in cuts for window in cut), key=lambda window: window.end_sample))
