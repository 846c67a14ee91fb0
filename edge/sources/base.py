"""The interface of every source of samples: blocks in order, a way to stop, and counters of what was dropped."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from edge.core.loops import Loop
from edge.core.samples import Block

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOOP_LIMIT_S = 120.0  # longest turn of a source before the watchdog calls it stuck


class Source(Protocol):
    """A source of blocks, of one stream or of several.

    Lost samples show in the blocks (`Block.missing`, jumps of `Block.first_sample`). `counters` counts everything else:
    garbage bytes, duplicate blocks, rejected payloads.
    """

    @property
    def counters(self) -> Mapping[str, int]:
        """What was dropped so far, by name; safe to read from any thread."""

    @property
    def loop(self) -> Loop:
        """The loop of `blocks`; a live source turns it each time it reads its wire."""

    @property
    def loops(self) -> Sequence[Loop]:
        """All loops of the source, that of `blocks` included."""

    @property
    def true_rates_hz(self) -> Mapping[str, float]:
        """Measured sample rate of each stream, where it is known; safe to read from any thread."""

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the source ends or `stop` is called; may be called once.

        Raises
        ------
        SourceError
            When the source cannot be opened, or fails while it is read.
        """

    def stop(self) -> None:
        """Make `blocks` end soon; may be called from any thread, or from a signal handler."""

    def close(self) -> None:
        """Stop, and release port or connection; may be called twice."""

    def __enter__(self) -> "Self":
        """Return the source itself."""

    def __exit__(self, *exc: object) -> None:
        """Close the source."""


class SourceBase:
    """Shared by all sources: the stop flag, the counters and `with`."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._counters: Counter[str] = Counter()
        self.loop = Loop("source", _LOOP_LIMIT_S)

    @property
    def counters(self) -> Mapping[str, int]:
        """What was dropped so far, by name."""
        return dict(self._counters)

    @property
    def loops(self) -> Sequence[Loop]:
        """The loops of the source."""
        return (self.loop,)

    @property
    def true_rates_hz(self) -> Mapping[str, float]:
        """Measured sample rate of each stream; a recording has none."""
        return {}

    def stop(self) -> None:
        """Make `blocks` end soon."""
        self._stopping.set()

    def close(self) -> None:
        """Stop; a source with a port or a connection releases it here."""
        self.stop()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
