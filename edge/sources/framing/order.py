"""Puts the blocks of a stream in order: what comes twice or too late is dropped and counted, gaps stay gaps.

Knows the samples' indices and nothing of wires or clocks.
"""

from collections import Counter, deque
from dataclasses import replace

import numpy as np

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause

_GAPS_KEPT = 32  # enough to tell a late block from a duplicate
_FILLED_GAP_S = 60.0  # a longer gap is left to speak for itself, as a jump of the index
_FILLED_VALUES = 1 << 20  # and so is one of more values over all leads


class StreamOrder:
    """Order within one epoch of one stream.

    Parameters
    ----------
    counters : `duplicate_blocks` and `late_blocks` are counted here; the instants of a late block were counted as
        missing when the gap showed, and what is passed on in its place says which they are (`Block.late`).
    next_sample : index of the first instant to come, if it is known; else the first block says so
    """

    def __init__(self, counters: Counter[str], next_sample: int | None = None) -> None:
        self._counters = counters
        self._first: Block | None = None
        self._gaps: deque[tuple[int, int]] = deque(maxlen=_GAPS_KEPT)
        self._next_sample = next_sample

    @property
    def next_sample(self) -> int:
        """Index of the next instant to come."""
        return self._next_sample or 0

    def add(self, block: Block, cause: Cause = Cause.SEQUENCE_GAP) -> list[Block]:
        """Return the block without the instants that have passed, after a block of missing ones if there is a gap.

        Raises
        ------
        FrameError
            When the leads or the rate changed, which only a new epoch may.
        """
        self._first = self._first or block
        if (block.leads, block.sample_rate_hz) != (self._first.leads, self._first.sample_rate_hz):
            raise FrameError(f"stream {block.stream}: leads or rate changed without a new session")
        next_sample = block.first_sample if self._next_sample is None else self._next_sample
        self._next_sample = max(next_sample, block.end_sample)
        if block.first_sample < next_sample:
            late = self._count_passed(block)
            ended = block.last and block.end_sample >= next_sample
            if block.end_sample <= next_sample and not (ended or late):
                return []
            passed = (block.first_sample, min(block.end_sample, next_sample)) if late else (0, 0)
            return [replace(block.without_first(next_sample - block.first_sample), late=passed, last=ended)]
        if block.first_sample == next_sample:
            return [block]
        self._gaps.append((next_sample, block.first_sample))
        gap = block.first_sample - next_sample
        filled = gap <= _FILLED_GAP_S * block.sample_rate_hz and gap * len(block.leads) <= _FILLED_VALUES
        return [_missing(block, next_sample, cause), block] if filled else [block]

    def _count_passed(self, block: Block) -> bool:
        late = any(block.first_sample < end and first < block.end_sample for first, end in self._gaps)
        self._counters["late_blocks" if late else "duplicate_blocks"] += 1
        return late


def _missing(after: Block, first_sample: int, cause: Cause) -> Block:
    shape = (len(after.leads), after.first_sample - first_sample)
    return replace(
        after,
        first_sample=first_sample,
        samples=np.zeros(shape, np.float32),
        missing=np.full(shape, cause, np.uint8),
        device_time_s=after.device_time_s - shape[1] / after.sample_rate_hz,
        last=False,
    )
