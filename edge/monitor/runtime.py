"""The running monitor: intake, queue and classifier thread put together.

source threads ──► intake ──► queue ──► classifier thread ──► sink
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from edge.alarms.command import Command
from edge.alarms.machine import AlarmSpec
from edge.beats.networks import BeatNetworksFactory
from edge.bundle.manifest import Manifest
from edge.classifiers.base import ClassifierFactory
from edge.core.loops import Loop
from edge.core.samples import Block
from edge.monitor.classifier_thread import ClassifierThread
from edge.monitor.intake import Intake
from edge.monitor.jobs import JobQueue
from edge.monitor.latencies import RecentLatencies
from edge.monitor.model import Model
from edge.monitor.model_switch import Swap
from edge.monitor.registry import StreamRegistry
from edge.monitor.shedding import Shedder
from edge.monitor.stream_monitor import StreamMonitor
from edge.monitor.totals import Backlog, Totals
from edge.monitor.update import Sink

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_SHED_ROOM = 16  # room for so many shed windows for each window with samples: they are small and quickly decided


class MonitorRuntime:
    """Monitors any number of streams.

    Parameters
    ----------
    manifest : of the bundle that the classifier runs
    open_classifier : called once, in the classifier thread
    specs : the alarms of every stream
    sink : receives each decision and the alarm events it caused
    sha256 : of the bundle
    open_beats : opens the beat network, in the classifier thread; None: beats are not classified
    max_batch : most windows in one run of the graph
    queue_windows : most windows that may wait
    session : begins the name of every epoch; another one for each run of a service, so that alarm ids are new
    shed : what happens when more windows come than can be classified. True: windows are given up and counted as
        `shed`, see `edge.monitor.shedding`; a live source cannot wait. False: the source waits; a replay loses nothing
    """

    def __init__(  # noqa: PLR0913  what is wired in once, and limits that tests lower
        self,
        manifest: Manifest,
        open_classifier: ClassifierFactory,
        specs: Sequence[AlarmSpec],
        sink: Sink,
        *,
        sha256: str = "",
        open_beats: BeatNetworksFactory | None = None,
        max_batch: int = 16,
        queue_windows: int = 256,
        session: str = "",
        shed: bool = False,
    ) -> None:
        model = Model(manifest, open_classifier, specs, sha256, open_beats)
        shedder = Shedder(manifest.input.hop_s) if shed else None
        self._jobs = JobQueue(queue_windows * _SHED_ROOM if shed else queue_windows)
        self._registry = StreamRegistry()
        self._thread = ClassifierThread(model, self._registry, self._jobs, sink, shedder=shedder, max_batch=max_batch)
        self._intake = Intake(
            self._thread.models,
            self._registry,
            self._jobs,
            shedder=shedder,
            queue_windows=queue_windows,
            session=session,
        )

    def __enter__(self) -> "Self":
        """Start the classifier; raise what opening it raised."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """End every stream, classify what waits and stop; raise what made the classifier fail, if nothing else did."""
        if self._thread.failure is None:  # after a failure nobody takes the last windows
            for monitor in self._registry.open_monitors():
                self.end(monitor.stream)
        self._thread.stop()
        if kind is None:
            self._thread.raise_failure()

    @property
    def alive(self) -> bool:
        """Whether the classifier thread runs."""
        return self._thread.alive

    @property
    def failure(self) -> BaseException | None:
        """What made the classifier fail for good."""
        return self._thread.failure

    @property
    def loop(self) -> Loop:
        """The loop of the classifier thread, for a watchdog."""
        return self._thread.loop

    @property
    def latencies(self) -> RecentLatencies:
        """Latencies of the latest windows."""
        return self._thread.latencies

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return len(self._registry)

    @property
    def backlog(self) -> Backlog:
        """What waits for the classifier at this moment."""
        return self._thread.backlog

    def monitors(self) -> list[StreamMonitor]:
        """Return the streams that are open, the one opened first at the front."""
        return self._registry.open_monitors()

    def totals(self) -> Totals:
        """Return the sums over all streams at this moment."""
        return self._registry.totals()

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
        self._thread.raise_failure()
        self._intake.push(block)

    def end(self, stream: str) -> None:
        """End a stream: its last window is classified and its account is closed."""
        self._intake.end(stream)

    def command(self, stream: str, command: Command) -> bool:
        """Pass a command to the alarms of a stream, after the windows that wait; return at once.

        The events that follow go to the sink. False when the stream is not open, or the queue is full.
        """
        return self._intake.command(stream, command)

    def swap(self, swap: Swap) -> None:
        """Let another model take over after the windows that wait; ask for the next swap when this one is over."""
        self._jobs.put(swap)
