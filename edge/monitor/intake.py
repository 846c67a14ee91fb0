"""From blocks to windows that wait for the classifier thread.

    blocks ──► stream (a new epoch where the count begins again) ──► windows ──► shedding ──► queue

It runs in the threads of the sources. Blocks of one stream come from one thread.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import replace

from edge.alarms.command import Command
from edge.core.errors import StreamError
from edge.core.samples import Block, Cause
from edge.monitor.jobs import CommandJob, EndJob, JobQueue, WindowJob
from edge.monitor.model_switch import ModelSwitch
from edge.monitor.registry import StreamRegistry
from edge.monitor.shedding import Shedder
from edge.monitor.stream_monitor import StreamMonitor
from edge.signal.windows import Window

MAX_GAP_S = 600.0  # a longer jump of the sequence is counted at once and begins a new epoch
MAX_BACK_S = 10.0  # a block from further back comes from a device that counts from 0 again
_KEPT_STREAMS = 4096  # streams whose number of epochs is remembered


class Intake:
    """Takes the blocks of any number of streams.

    Parameters
    ----------
    models : says how windows are cut
    registry : of the streams
    jobs : queue to the classifier thread
    shedder : gives windows up under overload; None: the source waits for room in the queue
    queue_windows : most windows with samples that may wait
    session : begins the name of every epoch
    """

    def __init__(
        self,
        models: ModelSwitch,
        registry: StreamRegistry,
        jobs: JobQueue,
        *,
        shedder: Shedder | None,
        queue_windows: int,
        session: str,
    ) -> None:
        self._models = models
        self._registry = registry
        self._jobs = jobs
        self._shedder = shedder
        self._queue_windows = queue_windows
        self._epochs = EpochNames(session)

    def push(self, block: Block) -> None:
        """Take the next block of a stream; raise StreamError when it cannot be used."""
        arrived_s = time.monotonic()
        monitor = self._monitor_for(block)
        monitor.set_inputs(self._models.inputs)  # a swap may have begun or ended since the last block
        for window in monitor.push(block):
            # A shed window loses its samples, not its beats: these cost little.
            beats = monitor.describe_beats(window)
            self._jobs.put(WindowJob(monitor, self._shed(monitor, window), arrived_s, beats))
        if block.last:
            self.end(block.stream)

    def end(self, stream: str) -> None:
        """End a stream: its last window is still classified, then its account is closed."""
        monitor = self._registry.start_closing(stream)
        if monitor is None:
            return
        arrived_s = time.monotonic()
        for window in monitor.finish():
            self._jobs.put(WindowJob(monitor, window, arrived_s, monitor.describe_beats(window), timed=False))
        self._jobs.put(EndJob(monitor, arrived_s, monitor.finish_beats()))

    def command(self, stream: str, command: Command) -> bool:
        """Queue a command for the alarms of a stream; return False when the stream is not open or the queue is full."""
        monitor = self._registry.get(stream)
        return monitor is not None and self._jobs.try_put(CommandJob(monitor, command, time.monotonic()))

    def _monitor_for(self, block: Block) -> StreamMonitor:
        """Return the monitor of the block's epoch; it is opened with the epoch's first block."""
        monitor = self._registry.get(block.stream)
        if monitor is not None and self._continues(monitor, block):
            return monitor
        if monitor is not None:
            self.end(block.stream)
            if block.retracts:
                # The epoch before counted these as silent, but the device had them: they begin the new epoch.
                self._registry.count_missing(-block.retracts, Cause.SILENT)
        epoch = self._epochs.next_name(block.stream, block.epoch)
        monitor = StreamMonitor(block, epoch, self._models.serving, self._models.inputs)
        self._registry.add(monitor)
        return monitor

    def _continues(self, monitor: StreamMonitor, block: Block) -> bool:
        """Return whether a block belongs to the current epoch of its stream; a long jump ahead is counted here."""
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
            # A jump of days would flood the queue with empty windows, so the gap is counted here instead.
            self._registry.count_missing(gap, Cause.SEQUENCE_GAP)
        return -MAX_BACK_S * monitor.sample_rate_hz <= gap <= longest

    def _shed(self, monitor: StreamMonitor, window: Window) -> Window:
        """Return the window, without its samples where its stream has to lose one.

        A bad window is never shed: it costs the classifier nothing. A shed window still passes through the queue, so
        that the account and the alarms see every window in order.
        """
        if self._shedder is None:
            return window
        if window.cause is Cause.PRESENT:
            full = len(self._jobs) >= self._queue_windows
            if not self._shedder.keeps(monitor, full=full):
                return window.shed()
        return replace(window, overload=True) if self._shedder.overloaded else window


class EpochNames:
    """Names each epoch of each stream; alarm ids are made from the name, so no name may come twice.

    Parameters
    ----------
    session : begins every name; another one for each run of a service
    """

    def __init__(self, session: str) -> None:
        self._session = session
        self._lock = threading.Lock()  # streams of several sources open at the same time
        self._begun: OrderedDict[str, int] = OrderedDict()  # stream -> number of epochs, the latest stream at the end

    def next_name(self, stream: str, source_epoch: str) -> str:
        """Return a name for the next epoch of a stream, which its source calls `source_epoch`.

        All but the first have a number, as a device may use a name again.
        """
        with self._lock:
            number = self._begun.pop(stream, 0) + 1
            self._begun[stream] = number
            if len(self._begun) > _KEPT_STREAMS:
                self._begun.popitem(last=False)
        name = "-".join(filter(None, (self._session, source_epoch)))
        return name if number == 1 else f"{name}#{number}"
