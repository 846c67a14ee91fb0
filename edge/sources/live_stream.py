"""One stream of a live source: fills its silences, and measures its true sample rate."""

import logging
from collections import Counter
from collections.abc import Sequence

from edge.core.samples import Block
from edge.sources.rate_estimator import RateEstimator
from edge.sources.silence_filler import SilenceFiller

_LOG = logging.getLogger(__name__)
_LOG_RATE_EVERY_S = 600.0


class LiveStream:
    """Passes on the blocks of one stream, with silent blocks where samples fail to come.

    Parameters
    ----------
    name : of the stream, for the log
    silent_after_s : how long no samples may come before instants count as silent
    counters : `silences` and `late_instants` are counted here
    now_s : of a monotonic clock
    placeholder : see `SilenceFiller`
    """

    def __init__(
        self,
        name: str,
        silent_after_s: float,
        counters: Counter[str],
        now_s: float,
        *,
        placeholder: Block | None = None,
    ) -> None:
        self._name = name
        self._counters = counters
        self._filler = SilenceFiller(silent_after_s, placeholder=placeholder, now_s=now_s)
        self._rate: RateEstimator | None = None
        self._epoch = ""
        self._rate_logged_s = now_s

    @property
    def silent(self) -> bool:
        """Whether the stream is silent now."""
        return self._filler.silent

    @property
    def true_rate_hz(self) -> float | None:
        """The rate at which samples really arrive; None until it is known."""
        return None if self._rate is None else self._rate.rate_hz

    def quiet_s(self, now_s: float) -> float:
        """Return the time since the last block."""
        return self._filler.quiet_s(now_s)

    def end(self) -> list[Block]:
        """Give the stream up and return the block that ends it."""
        _LOG.warning("stream %s: given up, its device has been silent for too long", self._name)
        return self._filler.end()

    def receive(self, blocks: Sequence[Block], now_s: float, *, numbered: bool = True) -> list[Block]:
        """Return what to pass on for blocks that arrived; `numbered`: the device itself counts the samples."""
        if not blocks:
            return []
        was_silent, late = self._filler.silent, self._filler.late_instants
        passed = [each for block in blocks for each in self._filler.receive(block, now_s, numbered=numbered)]
        if was_silent and not self._filler.silent:
            _LOG.warning("stream %s: samples arrive again", self._name)
        if self._filler.late_instants > late:
            self._counters["late_instants"] += self._filler.late_instants - late
        if blocks[-1].samples.shape[1]:
            self._measure_rate(blocks[-1], now_s)
        return passed

    def tick(self, now_s: float) -> list[Block]:
        """Return the silent instants that are due, if any."""
        was_silent = self._filler.silent
        silent = self._filler.tick(now_s)
        if self._filler.silent and not was_silent:
            self._counters["silences"] += 1
            _LOG.warning("stream %s: no samples arrive", self._name)
        return silent

    def _measure_rate(self, block: Block, now_s: float) -> None:
        if self._rate is None or self._rate.nominal_hz != block.sample_rate_hz:
            self._rate = RateEstimator(block.sample_rate_hz)
        elif self._epoch != block.epoch:
            self._rate.restart()
        self._epoch = block.epoch
        self._rate.add(block.end_sample, now_s)
        if now_s - self._rate_logged_s > _LOG_RATE_EVERY_S:
            self._rate_logged_s = now_s
            rate_hz = self._rate.rate_hz
            if rate_hz is not None:
                _LOG.info("stream %s: %.4f Hz, nominally %g Hz", self._name, rate_hz, block.sample_rate_hz)
