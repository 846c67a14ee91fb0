"""What every source of samples is: blocks in order, a way to stop it, and counters for what is no sample.

Knows nothing of wires, records or of what is done with the blocks.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from edge.core.loops import Loop
from edge.core.samples import Block

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOOP_LIMIT_S = 120.0  # how long a source may take until it looks at its wire again


class Source(Protocol):
    """A source of blocks, of one stream or of several.

    Lost samples are told inside the blocks (`Block.missing`, jumps of `Block.first_sample`). `counters`
    is for what is no sample: garbage bytes, duplicate blocks, rejected payloads.
    """

    @property
    def counters(self) -> Mapping[str, int]:
        """What was thrown away so far, by name; safe to read from any thread."""

    @property
    def loop(self) -> Loop:
        """The loop of `blocks`: a live source turns it each time that it looks at its wire."""

    @property
    def loops(self) -> Sequence[Loop]:
        """All loops of the source, that of `blocks` included."""

    @property
    def true_rates_hz(self) -> Mapping[str, float]:
        """The rate at which the samples of each stream really arrive, where that can be told; from any thread."""

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
        """Stop, and let go of what the source holds; may be called twice."""

    def __enter__(self) -> "Self":
        """Return the source itself."""

    def __exit__(self, *exc: object) -> None:
        """Close the source."""


class SourceBase:
    """The part that all sources share: the stop flag, the counters and `with`."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._counters: Counter[str] = Counter()
        self.loop = Loop("source", _LOOP_LIMIT_S)

    @property
    def counters(self) -> Mapping[str, int]:
        """What was thrown away so far, by name."""
        return dict(self._counters)

    @property
    def loops(self) -> Sequence[Loop]:
        """The loops of the source."""
        return (self.loop,)

    @property
    def true_rates_hz(self) -> Mapping[str, float]:
        """The rate at which the samples of each stream really arrive; a recording has none."""
        return {}

    def stop(self) -> None:
        """Make `blocks` end soon."""
        self._stopping.set()

    def close(self) -> None:
        """Stop; a source that holds a port or a connection lets go of it here."""
        self.stop()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
