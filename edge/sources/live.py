"""What a live source watches in each of its streams: whether it still speaks, and how fast it really is.

Knows no wire; time is handed in.
"""

import logging
from collections import Counter
from collections.abc import Sequence

from edge.core.samples import Block
from edge.sources.silence import SilenceFiller
from edge.sources.true_rate import RateEstimate

_LOG = logging.getLogger(__name__)
_TELL_RATE_EVERY_S = 600.0


class LiveStream:
    """One stream of a live source.

    Parameters
    ----------
    name : of the stream, for the log
    silent_after_s : how long nothing may come before instants count as silent
    counters : `silences` and `late_instants` are counted here
    now_s : of a clock that never steps
    unheard : see `SilenceFiller`
    """

    def __init__(
        self, name: str, silent_after_s: float, counters: Counter[str], now_s: float, *, unheard: Block | None = None
    ) -> None:
        self._name = name
        self._counters = counters
        self._silence = SilenceFiller(silent_after_s, unheard=unheard, now_s=now_s)
        self._rate: RateEstimate | None = None
        self._epoch = ""
        self._told_s = now_s

    @property
    def silent(self) -> bool:
        """Whether nothing has come for too long."""
        return self._silence.silent

    @property
    def true_rate_hz(self) -> float | None:
        """The rate at which samples really arrive; None before that can be told."""
        return None if self._rate is None else self._rate.rate_hz

    def quiet_s(self, now_s: float) -> float:
        """Return how long nothing has come."""
        return self._silence.quiet_s(now_s)

    def end(self) -> list[Block]:
        """Give the stream up and return the block that ends it."""
        _LOG.warning("stream %s: given up, its device has been silent for too long", self._name)
        return self._silence.end()

    def heard(self, blocks: Sequence[Block], now_s: float, *, sequence: bool = True) -> list[Block]:
        """Return what to pass on for blocks that arrived; `sequence`: their indices are the device's own."""
        if not blocks:
            return []
        was_silent, late = self._silence.silent, self._silence.late_instants
        passed = [each for block in blocks for each in self._silence.heard(block, now_s, sequence=sequence)]
        if was_silent and not self._silence.silent:
            _LOG.warning("stream %s: samples arrive again", self._name)
        if self._silence.late_instants > late:
            self._counters["late_instants"] += self._silence.late_instants - late
        if blocks[-1].samples.shape[1]:
            self._estimate(blocks[-1], now_s)
        return passed

    def tick(self, now_s: float) -> list[Block]:
        """Return the silent instants that are due, if any."""
        was_silent = self._silence.silent
        silent = self._silence.tick(now_s)
        if self._silence.silent and not was_silent:
            self._counters["silences"] += 1
            _LOG.warning("stream %s: no samples arrive", self._name)
        return silent

    def _estimate(self, block: Block, now_s: float) -> None:
        if self._rate is None or self._rate.nominal_hz != block.sample_rate_hz:
            self._rate = RateEstimate(block.sample_rate_hz)
        elif self._epoch != block.epoch:
            self._rate.restart()
        self._epoch = block.epoch
        self._rate.add(block.end_sample, now_s)
        if now_s - self._told_s > _TELL_RATE_EVERY_S:
            self._told_s = now_s
            rate_hz = self._rate.rate_hz
            if rate_hz is not None:
                _LOG.info("stream %s: %.4f Hz, nominally %g Hz", self._name, rate_hz, block.sample_rate_hz)
