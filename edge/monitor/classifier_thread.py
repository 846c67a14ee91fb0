"""The thread that decides: it takes jobs in small batches, classifies their windows and steps the alarms.

    queue ──► batch ──► model switch ──► alarms ──► sink

A classifier is opened, used and closed in this thread only. Another model may take over between two batches.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterator
from itertools import islice

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmEvent
from edge.beats.classes import ClassifiedBeat
from edge.beats.fibrillation import Judged
from edge.core.errors import EdgeError
from edge.core.loops import Loop
from edge.core.samples import Cause
from edge.monitor.jobs import CommandJob, EndJob, Item, Job, JobQueue, WindowJob
from edge.monitor.latencies import RecentLatencies
from edge.monitor.model import Model
from edge.monitor.model_switch import ModelSwitch, Outputs, StreamWindow, Swap
from edge.monitor.registry import StreamRegistry
from edge.monitor.shedding import Shedder
from edge.monitor.totals import Backlog
from edge.monitor.update import Sink, StreamUpdate

_LOG = logging.getLogger(__name__)
_LOOP_LIMIT_S = 30.0  # how long one batch may take


class ClassifierThread:
    """Classifies the windows of all streams and hands every decision to the sink.

    Parameters
    ----------
    model : that serves first
    registry : of the streams
    jobs : queue from the intake
    sink : receives each decision and the alarm events it caused
    shedder : measures how long windows wait; None: nothing is shed
    max_batch : most jobs in a batch
    """

    def __init__(
        self,
        model: Model,
        registry: StreamRegistry,
        jobs: JobQueue,
        sink: Sink,
        *,
        shedder: Shedder | None,
        max_batch: int,
    ) -> None:
        self.models = ModelSwitch(model, max_batch, registry.monitors, self._decide_again)
        self.latencies = RecentLatencies()
        self.loop = Loop("classifier", _LOOP_LIMIT_S)
        self.failure: BaseException | None = None  # what ended the thread before it was told to stop
        self._registry = registry
        self._jobs = jobs
        self._sink = sink
        self._shedder = shedder
        self._max_batch = max_batch
        self._ready = threading.Event()
        self._batch_arrived_s: float | None = None  # arrival of the first job of the batch that is being decided
        # A daemon, so that a program that ends with an error does not wait for it.
        self._thread = threading.Thread(target=self._classify_forever, name="classifier", daemon=True)

    def start(self) -> None:
        """Start the thread and wait until the classifier is open; raise what opening it raised."""
        self._thread.start()
        self._ready.wait()
        self.raise_failure()

    def stop(self) -> None:
        """Decide what waits, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def backlog(self) -> Backlog:
        """What is not decided at this moment."""
        waiting, oldest_s = self._jobs.waiting()
        since_s = self._batch_arrived_s  # the batch arrived before everything that waits
        if since_s is not None:
            oldest_s = time.monotonic() - since_s
        return Backlog(waiting, oldest_s or 0.0)

    def raise_failure(self) -> None:
        """Raise what made the thread fail, if anything did."""
        failure = self.failure
        if isinstance(failure, EdgeError):
            raise failure
        if failure is not None:
            raise RuntimeError("the classifier's thread failed; the log has its traceback") from failure

    def _classify_forever(self) -> None:
        try:
            self.models.open()
            self._ready.set()
            while self._classify_batch():
                pass
        except BaseException as exc:  # noqa: BLE001  kept, and raised in the threads that feed the queue
            self.failure = exc
            if not isinstance(exc, EdgeError):
                _LOG.exception("the classifier failed")
        finally:
            self._jobs.close()  # first of all, as sources may be waiting for room in the queue
            self.models.close()
            self._ready.set()

    def _classify_batch(self) -> bool:
        """Decide the jobs that wait, `max_batch` at most; return False when told to stop."""
        self.loop.rest()
        first = self._jobs.get()
        self.loop.turn()
        taken_s = time.monotonic()
        self._batch_arrived_s = None if first is None else first.arrived_s
        batch, last = self._take_batch(first)
        self._decide(batch)
        if self._shedder is not None and batch:
            self._shedder.observe(batch[0].arrived_s, taken_s, time.monotonic())
        self.models.check_probation()
        # Only after the batch: the windows before the request are decided by the model that served then.
        if isinstance(last, Swap):
            self.models.switch_to(last)
        self._batch_arrived_s = None
        return last is not None

    def _take_batch(self, first: Item) -> tuple[list[Job], Item]:
        """Return the next jobs and the last item that was taken; a swap and the stop end the batch before them."""
        batch: list[Job] = []
        item = first
        while isinstance(item, Job):
            batch.append(item)
            if len(batch) == self._max_batch:
                break
            try:
                item = self._jobs.get_nowait()
            except queue.Empty:
                break
        return batch, item

    def _decide(self, batch: list[Job]) -> None:
        windows = [StreamWindow(job.monitor, job.window) if isinstance(job, WindowJob) else None for job in batch]
        classes, judged = self._classify_beats(batch)
        for job, outputs in zip(batch, self.models.classify(windows), strict=True):
            if not isinstance(job, CommandJob):
                # Just before the job's decision, and not for the whole batch at once: a decision holds the rhythms up
                # to its own end, whatever else is in the batch.
                for second in job.beats:
                    job.monitor.step_rhythms(second, list(islice(classes, len(second.described))), next(judged))
            match job:
                case WindowJob():
                    self._decide_window(job, outputs)
                case CommandJob():
                    self._emit(job, None, job.monitor.on_command(job.command))
                case EndJob():
                    self._close(job)

    def _classify_beats(self, batch: list[Job]) -> tuple[Iterator[ClassifiedBeat], Iterator[Judged | None]]:
        """Classify the beats of a batch, of all streams in one run; return the results in the order of the jobs."""
        seconds = [second for job in batch if not isinstance(job, CommandJob) for second in job.beats]
        beats, judged = self.models.classify_beats(seconds) if seconds else ([], [])
        return iter(beats), iter(judged)

    def _decide_window(self, job: WindowJob, outputs: Outputs) -> None:
        monitor = job.monitor
        item = StreamWindow(monitor, job.window)
        model = self.models.model_for(item)
        if model is None:
            self.models.keep_for_rollback(item)
            return
        if monitor.model is not model:
            self._emit(job, None, monitor.switch_model(model))
        decision, events = monitor.decide(job.window, outputs)
        if job.timed and job.window.cause is not Cause.SHED:
            now_s = time.monotonic()
            self.latencies.add(now_s - job.arrived_s, now_s)
        self._emit(job, decision, events)

    def _decide_again(self, windows: list[StreamWindow]) -> None:
        """Decide windows that were kept for a rollback."""
        now_s = time.monotonic()
        self._decide([WindowJob(item.monitor, item.window, now_s, timed=False) for item in windows])

    def _close(self, job: EndJob) -> None:
        events = job.monitor.close()
        if self._shedder is not None:
            self._shedder.forget(job.monitor)
        self._registry.close(job.monitor)
        self._emit(job, None, events)

    def _emit(self, job: Job, decision: Decision | None, events: tuple[AlarmEvent, ...]) -> None:
        self._sink(StreamUpdate(job.monitor, decision, events, time.monotonic() - job.arrived_s))
