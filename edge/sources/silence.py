"""Makes silence visible: instants that should have come and did not, by the clock, as blocks that say `SILENT`.

While a stream is silent its instants are counted by rate and time, a little slower than they should come. When it
speaks again its sequence tells what was missed, and each instant is counted once:

    it goes on from ahead of the count    what lies between is the sequence gap that it is
    from slightly behind it               those few instants came late (`Block.late`): they were given up as silent
    from far behind                       the device stood still, or kept its samples: it is taken as a new epoch
                                          (`~1`, `~2` behind the epoch's name) and its first block takes back the
                                          instants that were wrongly counted (`Block.retracts`)
    it has no sequence                    the clock's count holds, and later indices follow on it

Pure: time is handed in, and must never run backwards. Knows one stream and no wire.
"""

from dataclasses import replace

import numpy as np

from edge.core.samples import Block, Cause

_BEHIND_S = 1.0  # the count stays that far behind at most, so that what is only delayed is not given up
_BEHIND = 0.002  # and that share of the silence, so that an inexact rate does not outrun the device
_LATE_S = 2.0  # a stream that comes back from further behind the count is believed to have stood still
_PIECE_S = 0.5  # shortest block of silence
_LONGEST_PIECE_S = 60.0
_LONGEST_BLOCK_S = 60.0
_LOST = (Cause.SEQUENCE_GAP, Cause.CRC, Cause.OVERRUN)  # what a decoder says about instants that it never saw


class SilenceFiller:
    """Watches one stream.

    Parameters
    ----------
    silent_after_s : how long nothing may come, beyond the length of the stream's blocks; infinity turns the watch off
    unheard : an empty block of a stream that should be there and was not heard yet: it names leads and rate
    now_s : when the watch begins

    Attributes
    ----------
    silent : whether the stream is silent now
    silences : how often it became so
    late_instants : how many came back too late, and were dropped
    """

    def __init__(self, silent_after_s: float, *, unheard: Block | None = None, now_s: float = 0.0) -> None:
        self.silent = False
        self.silences = 0
        self.late_instants = 0
        self._silent_after_s = silent_after_s
        self._behind_s = min(_BEHIND_S, silent_after_s / 2)
        self._last = unheard
        self._heard_s = now_s
        self._block_s = 0.0  # length of the last block
        self._heard_end = 0  # index after the last instant that was heard, as it was passed on
        self._told_end = 0  # index after the last instant that the device itself has reached
        self._end = 0  # index after the last instant that was passed on
        self._epoch: str | None = None  # of the device, None before the first block
        self._shift = 0  # what is added to the indices of a stream without a sequence
        self._renewals = 0

    def tick(self, now_s: float) -> list[Block]:
        """Return the silent instants that are due, if any."""
        last = self._last
        quiet_s = now_s - self._heard_s - self._block_s
        if last is None or quiet_s < self._silent_after_s:
            return []
        if not self.silent:
            self.silent = True
            self.silences += 1
        due = self._heard_end + int((quiet_s * (1 - _BEHIND) - self._behind_s) * last.sample_rate_hz) - self._end
        if due < _PIECE_S * last.sample_rate_hz:
            return []
        return [self._silent_block(last, min(due, int(_LONGEST_PIECE_S * last.sample_rate_hz)))]

    def quiet_s(self, now_s: float) -> float:
        """Return how long nothing has come."""
        return now_s - self._heard_s

    def end(self) -> list[Block]:
        """Give the stream up: return the empty block that ends it, if it was ever heard and has not ended itself."""
        last, self._last = self._last, None
        return [replace(self._silent_block(last, 0), last=True)] if last is not None else []

    def heard(self, block: Block, now_s: float, *, sequence: bool = True) -> list[Block]:
        """Return what to pass on for the next block of the stream; `sequence`: its index is the device's own."""
        if block.late[1] and not block.samples.shape[1] and not block.last:  # nothing but a note for the account
            return [replace(block, first_sample=self._end, epoch=self._named(block.epoch))]
        begins = block.epoch != self._epoch
        if self.silent and not block.last:
            block = block.without_first(_lost_at_the_start(block))  # a guess at what the clock has counted
            if not block.samples.shape[1]:
                return []
        if begins:
            self._epoch, self._shift, self._renewals = block.epoch, 0, 0
            self._end = self._told_end = block.first_sample
        was_silent, self.silent = self.silent and not begins, False
        before = self._rest_of_silence(block, now_s) if was_silent and not sequence else []
        passed = self._place(block, was_silent=was_silent)
        self._heard_s, self._last = now_s, None if passed.last else passed
        self._block_s = min(block.samples.shape[1] / block.sample_rate_hz, _LONGEST_BLOCK_S)
        self._end = self._heard_end = max(self._end, passed.end_sample)
        return [*before, passed] if passed.samples.shape[1] or passed.last or passed.late[1] else before

    def _rest_of_silence(self, block: Block, now_s: float) -> list[Block]:
        """Return the rest of a silence that nothing but the clock can measure, and shift what follows behind it."""
        end = self._heard_end + int((now_s - self._heard_s) * block.sample_rate_hz) - block.samples.shape[1]
        rest = [self._silent_block(self._last, end - self._end)] if self._last and end > self._end else []
        self._shift = self._end - block.first_sample
        return rest

    def _place(self, block: Block, *, was_silent: bool) -> Block:
        """Return the block with the index and the epoch that it has for those behind."""
        first_sample = block.first_sample + self._shift
        behind = self._end - first_sample
        renewed = was_silent and behind > _LATE_S * block.sample_rate_hz
        retracts = min(behind, self._end - self._told_end) if renewed else 0
        if renewed:
            self._renewals += 1
            self._end = self._told_end = first_sample
        self._told_end = max(self._told_end, first_sample + block.samples.shape[1])
        block = replace(block, first_sample=first_sample, epoch=self._named(block.epoch), retracts=retracts)
        late = 0 if renewed else min(max(behind, 0), block.samples.shape[1])
        if not late:
            return block
        self.late_instants += late
        passed = (block.late[0] if block.late[1] else first_sample, first_sample + late)
        return replace(block.without_first(behind), late=passed)

    def _named(self, epoch: str) -> str:
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
    """Return how many instants from the first on the decoder never saw in any lead."""
    seen = ~np.isin(block.missing, _LOST).all(axis=0)
    return int(seen.argmax()) if seen.any() else int(seen.size)
