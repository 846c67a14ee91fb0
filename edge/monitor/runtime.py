"""The running monitor: sources push windows into one bounded queue, one thread classifies them in small batches.

    source threads ──► windows ──► queue ──► classifier thread ──► alarms ──► sink

The classifier is opened, used and closed in its own thread; another model may take over there between two batches.
Knows no wire and no MQTT: decisions and alarm events go to a sink, which must not block.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.alarms.command import Command
from edge.alarms.machine import AlarmSpec
from edge.bundle.manifest import Manifest
from edge.classifiers.base import ClassifierFactory
from edge.core.errors import EdgeError, StreamError
from edge.core.loops import Loop
from edge.core.samples import Block, Cause
from edge.monitor.latencies import RecentLatencies
from edge.monitor.model import Model
from edge.monitor.model_switch import ModelSwitch, Outputs, StreamWindow, Swap
from edge.monitor.shedding import Shedder
from edge.monitor.stream_monitor import StreamMonitor
from edge.monitor.totals import EMPTY, Backlog, Totals, missing_totals
from edge.monitor.update import Sink, StreamUpdate
from edge.signal.windows import Window

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOG = logging.getLogger(__name__)
MAX_GAP_S = 600.0  # a longer jump of the sequence is booked at once, and the windows begin anew behind it
MAX_BACK_S = 10.0  # a block from further back is of a device that counts anew
_EPOCHS_KEPT = 4096  # streams whose number of epochs is remembered
_LOOP_LIMIT_S = 30.0  # how long one batch may take
_POLL_S = 0.2  # how often a source that waits for room in the queue looks whether the classifier still lives


@dataclass(frozen=True, slots=True)
class _Job:
    monitor: StreamMonitor
    window: Window | None  # None ends the stream
    arrived_s: float  # monotonic time at which the window's last block arrived
    timed: bool = True  # its latency counts: a block completed it, not the end of the stream


@dataclass(frozen=True, slots=True)
class _CommandJob:
    monitor: StreamMonitor
    command: Command
    arrived_s: float


class Runtime:
    """Classifies the windows of any number of streams.

    Parameters
    ----------
    manifest : of the bundle that the classifier runs
    open_classifier : called once, in the classifier's thread
    specs : what may raise an alarm, for every stream
    sink : receives each decision and the alarm events it caused
    sha256 : of the bundle
    max_batch : most windows in one run of the graph
    queue_windows : most windows that may wait
    session : begins the name of every epoch; another one for each run of a service, so that alarm ids are new
    shed : what happens when more come than can be classified: True, windows are given up and counted as `shed`, see
        `edge.monitor.shedding` (a live source does not wait); False, the source waits (a replay never drops)
    """

    def __init__(  # noqa: PLR0913  what is wired in once, and limits that tests lower
        self,
        manifest: Manifest,
        open_classifier: ClassifierFactory,
        specs: Sequence[AlarmSpec],
        sink: Sink,
        *,
        sha256: str = "",
        max_batch: int = 16,
        queue_windows: int = 256,
        session: str = "",
        shed: bool = False,
    ) -> None:
        self._models = ModelSwitch(
            Model(manifest, open_classifier, specs, sha256), max_batch, self._all_monitors, self._decide_again
        )
        self._sink = sink
        self._max_batch = max_batch
        self._session = session
        self._shedder = Shedder(manifest.input.hop_s) if shed else None
        self._queue_windows = queue_windows
        # A shed window still passes through the queue, without its samples, so that the account stays in order.
        room = queue_windows * 16 if shed else queue_windows
        self._jobs: queue.Queue[_Job | _CommandJob | Swap | None] = queue.Queue(room)
        self._lock = threading.Lock()
        self._monitors: dict[str, StreamMonitor] = {}
        self._closing: list[StreamMonitor] = []
        self._epochs: OrderedDict[str, int] = OrderedDict()  # stream -> how many epochs it began
        self._ended = EMPTY  # of streams that have ended
        self.latencies = RecentLatencies()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._busy_since_s: float | None = None  # arrival of the oldest job that is being decided
        self.loop = Loop("classifier", _LOOP_LIMIT_S)
        self._thread = threading.Thread(target=self._classify_forever, name="classifier", daemon=True)

    def __enter__(self) -> "Self":
        """Start the classifier; raise what opening it raised."""
        self._thread.start()
        self._ready.wait()
        self._raise_failure()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """End every stream, classify what waits and stop; raise what made the classifier fail, if nothing else did."""
        if self._failure is None:
            for stream in list(self._monitors):
                self.end(stream)
        self._put(None)
        self._thread.join()
        if kind is None:
            self._raise_failure()

    @property
    def alive(self) -> bool:
        """Whether the classifier's thread runs."""
        return self._thread.is_alive()

    @property
    def failure(self) -> BaseException | None:
        """What made the classifier fail for good."""
        return self._failure

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._monitors)

    @property
    def backlog(self) -> Backlog:
        """What waits for the classifier at this moment; takes the queue's lock for no longer than a look."""
        with self._jobs.mutex:
            waiting = len(self._jobs.queue)
            first = self._jobs.queue[0] if waiting else None
        since_s = self._busy_since_s  # what is being decided arrived before what waits
        if since_s is None and first is not None:
            since_s = first.arrived_s
        return Backlog(waiting, 0.0 if since_s is None else time.monotonic() - since_s)

    def monitors(self) -> list[StreamMonitor]:
        """Return the streams that are open, the one that was opened longest ago first."""
        with self._lock:
            return list(self._monitors.values())

    def totals(self) -> Totals:
        """Return the sums over all streams at this moment."""
        with self._lock:
            open_totals = [monitor.totals for monitor in (*self._monitors.values(), *self._closing)]
            return sum(open_totals, self._ended)

    def _all_monitors(self) -> list[StreamMonitor]:
        with self._lock:
            return [*self._monitors.values(), *self._closing]

    def run(self, blocks: Iterable[Block]) -> None:
        """Push every block of a source; the streams stay open.

        Raises
        ------
        StreamError
            When a block does not fit its stream, or its leads or rate cannot be used.
        EdgeError
            What made the classifier fail.
        """
        for block in blocks:
            self.push(block)

    def push(self, block: Block) -> None:
        """Take one block of any stream; see `run`. Blocks of one stream must come from one thread."""
        self._raise_failure()
        arrived_s = time.monotonic()
        monitor = self._monitor_for(block)
        monitor.recut(self._models.inputs)
        for window in monitor.push(block):
            self._submit(monitor, window, arrived_s)
        if block.last:
            self.end(block.stream)

    def end(self, stream: str) -> None:
        """End a stream: its last window is classified and its account is closed."""
        with self._lock:
            monitor = self._monitors.pop(stream, None)
            if monitor is None:
                return
            self._closing.append(monitor)
        arrived_s = time.monotonic()
        for window in monitor.finish():
            self._put(_Job(monitor, window, arrived_s, timed=False))
        self._put(_Job(monitor, None, arrived_s))

    def command(self, stream: str, command: Command) -> bool:
        """Let the alarms of a stream obey a command, after the windows that wait; return at once.

        The events that follow go to the sink. False when the stream is not open, or no more can wait.
        """
        monitor = self._monitors.get(stream)
        if monitor is None:
            return False
        try:
            self._jobs.put_nowait(_CommandJob(monitor, command, time.monotonic()))
        except queue.Full:
            return False
        return True

    def swap(self, swap: Swap) -> None:
        """Let another model take over after the windows that wait; the next may come when this one is through."""
        self._put(swap)

    def _monitor_for(self, block: Block) -> StreamMonitor:
        monitor = self._monitors.get(block.stream)
        if monitor is not None and self._continues(monitor, block):
            return monitor
        if monitor is not None:
            self.end(block.stream)
            if block.retracts:
                self._retract(block)
        epoch = self._name_epoch(block.stream, block.epoch)
        monitor = StreamMonitor(block, epoch, self._models.serving, self._models.inputs)
        with self._lock:
            self._monitors[block.stream] = monitor
        return monitor

    def _continues(self, monitor: StreamMonitor, block: Block) -> bool:
        """Say whether a block belongs to the running epoch of its stream; a long jump ahead is booked as missing."""
        if monitor.source_epoch != block.epoch:
            return False
        if (monitor.leads, monitor.sample_rate_hz) != (block.leads, block.sample_rate_hz):
            raise StreamError(
                f"stream {block.stream}: leads or rate changed from {'/'.join(monitor.leads)} at "
                f"{monitor.sample_rate_hz:g} Hz to {'/'.join(block.leads)} at {block.sample_rate_hz:g} Hz; "
                "a device that changes them must begin a new epoch"
            )
        gap = block.first_sample - monitor.next_sample
        longest = MAX_GAP_S * monitor.sample_rate_hz
        if gap > longest:
            with self._lock:
                self._ended += missing_totals(gap, Cause.SEQUENCE_GAP)
        return -MAX_BACK_S * monitor.sample_rate_hz <= gap <= longest

    def _retract(self, block: Block) -> None:
        """Take back silent instants of the epoch that ended: the device had not lost them, they begin the new one."""
        with self._lock:
            self._ended += missing_totals(-block.retracts, Cause.SILENT)

    def _name_epoch(self, stream: str, epoch: str) -> str:
        """Return a name for an epoch that begins; all but the first have a number, as a device may repeat names."""
        with self._lock:
            begun = self._epochs.pop(stream, 0) + 1
            self._epochs[stream] = begun
            if len(self._epochs) > _EPOCHS_KEPT:
                self._epochs.popitem(last=False)
        name = "-".join(filter(None, (self._session, epoch)))
        return name if begun == 1 else f"{name}#{begun}"

    def _submit(self, monitor: StreamMonitor, window: Window, arrived_s: float) -> None:
        if self._shedder is not None:
            window = self._thin_out(self._shedder, monitor, window)
        self._put(_Job(monitor, window, arrived_s))

    def _thin_out(self, shedder: Shedder, monitor: StreamMonitor, window: Window) -> Window:
        """Give the window up where its stream has to lose one; a window that is not good costs nothing, and stays."""
        if window.cause is Cause.PRESENT:
            full = self._jobs.qsize() >= self._queue_windows
            if not shedder.keeps(monitor, full=full):
                return window.shed()
        return replace(window, overload=True) if shedder.overloaded else window

    def _put(self, job: _Job | _CommandJob | Swap | None) -> None:
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._jobs.put(job, timeout=_POLL_S)
                return

    def _raise_failure(self) -> None:
        failure = self._failure
        if isinstance(failure, EdgeError):
            raise failure
        if failure is not None:
            raise RuntimeError("the classifier's thread failed; the log has its traceback") from failure

    def _classify_forever(self) -> None:
        """Run until told to stop."""
        try:
            self._models.open()
            self._ready.set()
            while self._classify_batch():
                pass
        except BaseException as exc:  # noqa: BLE001  kept, and raised in the threads that feed the queue
            self._failure = exc
            if not isinstance(exc, EdgeError):
                _LOG.exception("the classifier failed")
        finally:
            self._models.close()
            self._ready.set()

    def _classify_batch(self) -> bool:
        """Take what waits, `max_batch` at most, and decide it; return False when told to stop."""
        self.loop.rest()
        job = self._jobs.get()
        self.loop.turn()
        taken_s = time.monotonic()
        self._busy_since_s = None if job is None else job.arrived_s
        jobs: list[_Job | _CommandJob] = []
        while isinstance(job, _Job | _CommandJob):
            jobs.append(job)
            if len(jobs) == self._max_batch:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        self._decide(jobs)
        if self._shedder is not None and jobs:
            self._shedder.observe(jobs[0].arrived_s, taken_s, time.monotonic())
        self._models.watch()
        if isinstance(job, Swap):
            self._models.take_over(job)
        self._busy_since_s = None
        return job is not None

    def _decide(self, jobs: Sequence[_Job | _CommandJob]) -> None:
        windows = [
            StreamWindow(job.monitor, job.window) if isinstance(job, _Job) and job.window else None for job in jobs
        ]
        for job, item, outputs in zip(jobs, windows, self._models.classify(windows), strict=True):
            if isinstance(job, _CommandJob):
                events = job.monitor.on_command(job.command)
                self._sink(StreamUpdate(job.monitor, None, events, time.monotonic() - job.arrived_s))
            elif item is None:
                self._close(job)
            else:
                self._decide_window(job, item, outputs)

    def _decide_window(self, job: _Job, item: StreamWindow, outputs: Outputs) -> None:
        monitor, model = job.monitor, self._models.judge(item)
        if model is None:
            self._models.keep(item)
            return
        if monitor.model is not model:
            events = monitor.switch_model(model)
            self._sink(StreamUpdate(monitor, None, events, time.monotonic() - job.arrived_s))
        decision, events = monitor.decide(item.window, outputs)
        now_s = time.monotonic()
        latency_s = now_s - job.arrived_s
        if job.timed and item.window.cause is not Cause.SHED:
            self.latencies.add(latency_s, now_s)
        self._sink(StreamUpdate(monitor, decision, events, latency_s))

    def _decide_again(self, windows: list[StreamWindow]) -> None:
        self._decide([_Job(item.monitor, item.window, time.monotonic(), timed=False) for item in windows])

    def _close(self, job: _Job) -> None:
        monitor = job.monitor
        events = monitor.close()
        if self._shedder is not None:
            self._shedder.forget(monitor)
        with self._lock:
            self._closing.remove(monitor)
            self._ended += monitor.totals
        self._sink(StreamUpdate(monitor, None, events, time.monotonic() - job.arrived_s))
