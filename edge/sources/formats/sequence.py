"""Orders the blocks of a stream by sample index: drops repeated and late ones, and makes gaps visible."""

from collections import Counter, deque
from dataclasses import replace

import numpy as np

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause

_GAPS_KEPT = 32  # the latest gaps tell a late block from a duplicate
# A longer gap is not filled with missing samples, so that it costs no memory; the jump of the index shows it.
_FILLED_GAP_S = 60.0
_FILLED_VALUES = 1 << 20  # over all leads


class SequenceTracker:
    """Tracks the sequence of one epoch of one stream.

    The instants of a late block were counted as missing when the gap showed. The block that is returned for it names
    them in `Block.late`, so that the account can change their cause.

    Parameters
    ----------
    counters : `duplicate_blocks` and `late_blocks` are counted here
    next_sample : index of the next instant, if known; else the first block sets it
    """

    def __init__(self, counters: Counter[str], next_sample: int | None = None) -> None:
        self._counters = counters
        self._first: Block | None = None
        self._gaps: deque[tuple[int, int]] = deque(maxlen=_GAPS_KEPT)
        self._next_sample = next_sample

    @property
    def next_sample(self) -> int:
        """Index of the next instant."""
        return self._next_sample or 0

    def add(self, block: Block, cause: Cause = Cause.SEQUENCE_GAP) -> list[Block]:
        """Return the new instants of a block, after a block of missing instants if there is a gap before them.

        Raises
        ------
        FrameError
            When leads or rate changed; only a new epoch may change them.
        """
        self._first = self._first or block
        if (block.leads, block.sample_rate_hz) != (self._first.leads, self._first.sample_rate_hz):
            raise FrameError(f"stream {block.stream}: leads or rate changed without a new session")
        next_sample = block.first_sample if self._next_sample is None else self._next_sample
        self._next_sample = max(next_sample, block.end_sample)
        if block.first_sample < next_sample:
            return self._new_part(block, next_sample)
        if block.first_sample == next_sample:
            return [block]
        self._gaps.append((next_sample, block.first_sample))
        gap = block.first_sample - next_sample
        filled = gap <= _FILLED_GAP_S * block.sample_rate_hz and gap * len(block.leads) <= _FILLED_VALUES
        return [_missing(block, next_sample, cause), block] if filled else [block]

    def _new_part(self, block: Block, next_sample: int) -> list[Block]:
        """Return what is left of a block that begins before the next instant."""
        late = any(block.first_sample < end and first < block.end_sample for first, end in self._gaps)
        self._counters["late_blocks" if late else "duplicate_blocks"] += 1
        # A repeated block whose end was passed already cannot end the stream: newer blocks have come since.
        ended = block.last and block.end_sample >= next_sample
        if block.end_sample <= next_sample and not (ended or late):
            return []
        late_range = (block.first_sample, min(block.end_sample, next_sample)) if late else (0, 0)
        return [replace(block.without_first(next_sample - block.first_sample), late=late_range, last=ended)]


def _missing(after: Block, first_sample: int, cause: Cause) -> Block:
    """Return a block of missing instants from `first_sample` to the block after it."""
    shape = (len(after.leads), after.first_sample - first_sample)
    return replace(
        after,
        first_sample=first_sample,
        samples=np.zeros(shape, np.float32),
        missing=np.full(shape, cause, np.uint8),
        device_time_s=after.device_time_s - shape[1] / after.sample_rate_hz,
        last=False,
    )
