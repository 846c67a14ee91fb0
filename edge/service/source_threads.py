"""Reads every source in its own thread, and opens a source that fails again, after a wait."""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edge.core.errors import BrokerError, SourceError, StreamError
from edge.core.loops import Loop
from edge.core.samples import Block
from edge.sources.base import Source
from edge.sources.config import MqttConfig, SourceConfig, SyntheticConfig, WfdbConfig
from edge.sources.opening import open_source
from edge.sources.pace import Pace

_LOG = logging.getLogger(__name__)
_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # waits before a failed source is opened again; the last one repeats
_LOG_EVERY_S = 1.0  # a refused block is logged at most this often


class SourcesState(NamedTuple):
    """What all sources have counted and measured."""

    events: Mapping[str, int]
    true_rates_hz: Mapping[str, float]  # by stream
    blocks_refused: int


class SourceThreads:
    """Passes the blocks of all sources on, until `close` or until every source has ended.

    Parameters
    ----------
    configs : of the sources
    push : takes each block, in the source's thread; raises StreamError for a block that contradicts its stream
    stopping : set to end all threads; set here when a thread fails
    """

    def __init__(
        self, configs: Sequence[SourceConfig], push: Callable[[Block], None], stopping: threading.Event
    ) -> None:
        self._configs = tuple(configs)
        self._push = push
        self._stopping = stopping
        self._sources: list[Source] = []
        self._threads: list[threading.Thread] = []
        self.failure: BaseException | None = None  # what ended a thread that should have gone on
        self._lock = threading.Lock()  # guards what follows
        self._open: set[Source] = set()
        # Stream -> number of the source that feeds it. Streams named in the configuration belong to their source from
        # the start, so that no MQTT device can take one.
        self._owners = {
            config.stream_id: number for number, config in enumerate(configs) if not isinstance(config, MqttConfig)
        }
        self._closed_events: Counter[str] = Counter()  # counters of sources that are closed
        self._blocks_refused = 0
        self._refusal_logged_s = -math.inf

    def open(self) -> None:
        """Open every source, which reads its settings but not its wire yet; raise EdgeError where one is wrong."""
        self._sources = [open_source(config) for config in self._configs]

    def start(self) -> None:
        """Start a thread for each source."""
        self._threads = [
            threading.Thread(target=self._run, args=(number, source), name=f"source-{number}", daemon=True)
            for number, source in enumerate(self._sources)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the sources and wait for their threads."""
        self._stopping.set()
        with self._lock:
            for source in self._open:
                source.stop()
        for thread in self._threads:
            thread.join()

    @property
    def alive(self) -> bool:
        """Whether a source is still read."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def loops(self) -> list[Loop]:
        """The loops of all open sources."""
        with self._lock:
            return [loop for source in self._open for loop in source.loops]

    @property
    def state(self) -> SourcesState:
        """What all sources have counted and measured so far."""
        with self._lock:
            events, sources, refused = self._closed_events.copy(), tuple(self._open), self._blocks_refused
        rates: dict[str, float] = {}
        for source in sources:
            events.update(source.counters)
            rates.update(source.true_rates_hz)
        return SourcesState(events, rates, refused)

    def _run(self, number: int, source: Source) -> None:
        """Read one source until it ends; keep whatever makes its thread fail."""
        try:
            self._read_until_end(number, source)
        except BaseException as exc:  # noqa: BLE001  a service that no longer reads a source must not go on as if it did
            self.failure = exc
            self._stopping.set()

    def _read_until_end(self, number: int, source: Source) -> None:
        """Read one source; open it again when it fails, each time after a longer wait."""
        failures = 0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                if failures:
                    source = open_source(self._configs[number])
                self._read(number, source)
            except (SourceError, BrokerError) as exc:
                if time.monotonic() - began_s > _RETRY_S[-1]:
                    failures = 0  # it worked for a while, so this is a new trouble
                wait_s = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
                failures += 1
                _LOG.warning("%s; trying again in %g s", exc, wait_s)
                self._stopping.wait(wait_s)
            else:
                return

    def _read(self, number: int, source: Source) -> None:
        """Pass on the blocks of one source, recordings at their configured speed."""
        config = self._configs[number]
        pace = Pace(config.speed if isinstance(config, WfdbConfig | SyntheticConfig) else math.inf, self._stopping)
        with self._lock:
            self._open.add(source)
        try:
            source.loop.name = f"source {number + 1}"
            source.loop.turn()
            with source:
                # `close` may have come before the source was in `_open`, and then did not stop it.
                for block in () if self._stopping.is_set() else source.blocks():
                    source.loop.rest()
                    pace.wait(block.end_sample / block.sample_rate_hz)
                    source.loop.turn()
                    self._pass_on(number, block)
        finally:
            with self._lock:
                self._open.discard(source)
                self._closed_events.update(source.counters)

    def _pass_on(self, number: int, block: Block) -> None:
        try:
            self._check_owner(number, block)
            self._push(block)
        except StreamError as exc:
            self._refuse(exc)

    def _check_owner(self, number: int, block: Block) -> None:
        """Raise StreamError when another source feeds the block's stream: mixed, both would be useless."""
        with self._lock:
            owner = self._owners.setdefault(block.stream, number)
            # Devices come and go, so their streams are free again afterwards.
            if owner == number and block.last and isinstance(self._configs[number], MqttConfig):
                del self._owners[block.stream]
        if owner != number:
            raise StreamError(f"stream {block.stream} comes from another source; give each stream its own id")

    def _refuse(self, why: StreamError) -> None:
        with self._lock:
            self._blocks_refused += 1
            due = time.monotonic() - self._refusal_logged_s > _LOG_EVERY_S
            if due:
                self._refusal_logged_s = time.monotonic()
        if due:
            _LOG.warning("block refused (%d so far): %s", self._blocks_refused, why)
