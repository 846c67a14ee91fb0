"""Fills a silence: instants that should have come by the clock, and did not, become blocks of the cause `SILENT`.

While a stream is silent, its instants are counted by rate and time, a little slower than they should come. When samples
come again, their sequence shows what was really missed, and each instant is counted once:

    the sequence is ahead of the count    the difference is a sequence gap
    it is slightly behind                 those instants are late (`Block.late`): they were given up as silent
    it is far behind                      the device stood still, or kept its samples: a new epoch begins (`~1`, `~2`
                                          after the epoch's name), and its first block takes back the instants that
                                          were counted wrongly (`Block.retracts`)
    there is no sequence                  the count by the clock holds, and later indices continue it
"""

from dataclasses import replace

import numpy as np

from edge.core.samples import Block, Cause

_LAG_S = 1.0  # the count stays at most this far behind, so that samples that are only delayed are not given up
_LAG_SHARE = 0.002  # and this share of the silence, so that an inexact rate does not overtake the device
_STOOD_STILL_S = 2.0  # a stream that comes back from further behind the count has stood still
_PIECE_S = 0.5  # shortest block of silence
_LONGEST_PIECE_S = 60.0
_LONGEST_BLOCK_S = 60.0
_LOST = (Cause.SEQUENCE_GAP, Cause.CRC, Cause.OVERRUN)  # causes that a decoder gives to instants that never arrived


class SilenceFiller:
    """Fills the silences of one stream.

    Parameters
    ----------
    silent_after_s : how long nothing may come, beyond the length of the stream's blocks; infinity: never silent
    placeholder : an empty block with leads and rate of a stream that is expected but has not arrived yet
    now_s : the time at which the stream begins; of a clock that never runs backwards

    Attributes
    ----------
    silent : whether the stream is silent now
    silences : how often it became silent
    late_instants : how many instants came too late, and were dropped
    """

    def __init__(self, silent_after_s: float, *, placeholder: Block | None = None, now_s: float = 0.0) -> None:
        self.silent = False
        self.silences = 0
        self.late_instants = 0
        self._silent_after_s = silent_after_s
        self._lag_s = min(_LAG_S, silent_after_s / 2)
        self._last = placeholder
        self._arrived_s = now_s
        self._block_s = 0.0  # length of the last block
        # Three positions in the stream as passed on. They differ during and after a silence.
        self._arrived_end = 0  # index after the last instant that arrived
        self._device_end = 0  # index after the last instant that the device itself has reached
        self._end = 0  # index after the last instant that was passed on
        self._epoch: str | None = None  # of the device; None before the first block
        self._shift = 0  # added to the indices of a stream without a sequence
        self._renewals = 0  # how often a silence ended in a new epoch

    def tick(self, now_s: float) -> list[Block]:
        """Return the silent instants that are due, if any."""
        last = self._last
        # Blocks come when they are complete, so the next one is due a whole block after the last.
        quiet_s = now_s - self._arrived_s - self._block_s
        if last is None or quiet_s < self._silent_after_s:
            return []
        if not self.silent:
            self.silent = True
            self.silences += 1
        due = self._arrived_end + int((quiet_s * (1 - _LAG_SHARE) - self._lag_s) * last.sample_rate_hz) - self._end
        if due < _PIECE_S * last.sample_rate_hz:
            return []
        return [self._silent_block(last, min(due, int(_LONGEST_PIECE_S * last.sample_rate_hz)))]

    def quiet_s(self, now_s: float) -> float:
        """Return the time since the last block."""
        return now_s - self._arrived_s

    def end(self) -> list[Block]:
        """Give the stream up: return the empty block that ends it, if it has begun and not ended."""
        last, self._last = self._last, None
        return [replace(self._silent_block(last, 0), last=True)] if last is not None else []

    def receive(self, block: Block, now_s: float, *, numbered: bool = True) -> list[Block]:
        """Return what to pass on for the next block; `numbered`: the device itself counts the samples."""
        if block.late[1] and not block.samples.shape[1] and not block.last:  # it only reports late instants
            return [replace(block, first_sample=self._end, epoch=self._epoch_name(block.epoch))]
        new_epoch = block.epoch != self._epoch
        if self.silent and not block.last:
            # The decoder saw the silence as a loss. It is counted already, by the clock.
            block = block.without_first(_lost_at_the_start(block))
            if not block.samples.shape[1]:
                return []
        if new_epoch:
            self._epoch, self._shift, self._renewals = block.epoch, 0, 0
            self._end = self._device_end = block.first_sample
        was_silent, self.silent = self.silent and not new_epoch, False
        before = self._rest_of_silence(block, now_s) if was_silent and not numbered else []
        passed = self._renumber(block, was_silent=was_silent)
        self._arrived_s, self._last = now_s, None if passed.last else passed
        self._block_s = min(block.samples.shape[1] / block.sample_rate_hz, _LONGEST_BLOCK_S)
        self._end = self._arrived_end = max(self._end, passed.end_sample)
        return [*before, passed] if passed.samples.shape[1] or passed.last or passed.late[1] else before

    def _rest_of_silence(self, block: Block, now_s: float) -> list[Block]:
        """Return the rest of a silence that only the clock can measure, and shift what follows behind it."""
        end = self._arrived_end + int((now_s - self._arrived_s) * block.sample_rate_hz) - block.samples.shape[1]
        rest = [self._silent_block(self._last, end - self._end)] if self._last and end > self._end else []
        self._shift = self._end - block.first_sample
        return rest

    def _renumber(self, block: Block, *, was_silent: bool) -> Block:
        """Return the block with the index and the epoch under which it is passed on."""
        first_sample = block.first_sample + self._shift
        behind = self._end - first_sample
        renewed = was_silent and behind > _STOOD_STILL_S * block.sample_rate_hz
        retracts = min(behind, self._end - self._device_end) if renewed else 0
        if renewed:
            self._renewals += 1
            self._end = self._device_end = first_sample
        self._device_end = max(self._device_end, first_sample + block.samples.shape[1])
        block = replace(block, first_sample=first_sample, epoch=self._epoch_name(block.epoch), retracts=retracts)
        late = 0 if renewed else min(max(behind, 0), block.samples.shape[1])
        if not late:
            return block
        self.late_instants += late
        late_range = (block.late[0] if block.late[1] else first_sample, first_sample + late)
        return replace(block.without_first(behind), late=late_range)

    def _epoch_name(self, epoch: str) -> str:
        return f"{epoch}~{self._renewals}" if self._renewals else epoch

    def _silent_block(self, like: Block, instants: int) -> Block:
        first_sample, self._end = self._end, self._end + instants
        shape = (len(like.leads), instants)
        return replace(
            like,
            first_sample=first_sample,
            samples=np.zeros(shape, np.float32),
            missing=np.full(shape, Cause.SILENT, np.uint8),
            device_time_s=like.device_time_s + (first_sample - like.first_sample) / like.sample_rate_hz,
            last=False,
            late=(0, 0),
            retracts=0,
        )


def _lost_at_the_start(block: Block) -> int:
    """Return how many instants from the first on never arrived in any lead."""
    arrived = ~np.isin(block.missing, _LOST).all(axis=0)
    return int(arrived.argmax()) if arrived.any() else int(arrived.size)
