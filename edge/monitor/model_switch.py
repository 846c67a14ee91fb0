"""Which model judges a window, and how another one takes over.

    serving ──take over──► new one serves on probation, the other stays open ──► confirmed: the other is closed
                                      │ errs
                                      └──► rolled back: the other serves, beginning with the batch that failed

A model whose windows are cut alike judges every window from there on. For one whose windows are cut differently each
stream is cut for both, and goes over with the first window of the new kind that begins within what is decided and ends
later; until the end of the probation the windows of the other kind are kept as long as they end later than that. So no
instant lies outside the windows of both, whichever way it goes. Belongs to the classifier's thread, but for `serving`
and `inputs`.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import InputSpec
from edge.core.errors import EdgeError
from edge.core.samples import Cause
from edge.monitor.model import Model
from edge.monitor.stream_monitor import StreamMonitor
from edge.signal.resample import resampling_ratio
from edge.signal.windows import Window

_LOG = logging.getLogger(__name__)

SwapPhase = Literal["took_over", "confirmed", "refused", "rolled_back"]
Outputs = NDArray[np.float32] | None  # (labels,) of one window; None: nothing was classified


class StreamWindow(NamedTuple):
    """A window to be judged, and whose it is."""

    monitor: StreamMonitor
    window: Window


@dataclass(frozen=True, slots=True)
class Swap:
    """A wish that a model take over.

    `tell` hears what comes of it and why: `refused`, or `took_over`; then, when it has judged for `probation_s` and
    every stream went over, `confirmed`, or `rolled_back`. It is called in the classifier's thread.
    """

    model: Model
    probation_s: float
    tell: Callable[[SwapPhase, str], None]
    arrived_s: float


@dataclass(slots=True)
class _Probation:
    before: Model  # open, to judge again should the new one err
    swap: Swap
    until_s: float | None = None  # monotonic; None while the new one has judged nothing


class ModelSwitch:
    """The model that serves and, during a probation, the one before.

    Parameters
    ----------
    model : that serves first
    max_batch : most windows in one run of a graph
    monitors : gives the streams that are open, or being closed
    decide : decides windows that were kept for the model that takes over again
    """

    def __init__(
        self,
        model: Model,
        max_batch: int,
        monitors: Callable[[], list[StreamMonitor]],
        decide: Callable[[list[StreamWindow]], None],
    ) -> None:
        self.serving = model
        self.inputs: tuple[InputSpec, ...] = (model.input,)  # how streams are to be cut
        self._max_batch = max_batch
        self._monitors = monitors
        self._decide = decide
        self._probation: _Probation | None = None

    def open(self) -> None:
        """Open the classifier of the model that serves first."""
        self.serving.open(self._max_batch)

    def close(self) -> None:
        """Close every classifier."""
        self.serving.close()
        if self._probation is not None:
            self._probation.before.close()

    def judge(self, item: StreamWindow) -> Model | None:
        """Return the model whose word on the next window of a stream counts, if any."""
        monitor, window = item
        model = self._runs(item)
        if model is self.serving and monitor.model is not model and len(self.inputs) > 1:
            goes_over = window.first_sample <= monitor.decided_sample < window.end_sample
            return model if goes_over else None
        return model

    def _runs(self, item: StreamWindow) -> Model | None:
        """Return the model that a window was cut for, if its word may count."""
        if item.window.spec == self.serving.input:
            return self.serving
        if self._probation is not None and item.monitor.model is self._probation.before:
            return self._probation.before
        return None

    def keep(self, item: StreamWindow) -> None:
        """Keep a window that nobody judges, where the model before may have to."""
        if self._probation is not None:
            item.monitor.spare(item.window)

    def classify(self, windows: Sequence[StreamWindow | None]) -> list[Outputs]:
        """Return the outputs for each window, `max_batch` at most; None where there is nothing to classify."""
        outputs: list[Outputs] = [None] * len(windows)
        judged = [  # a stream may go over within the batch, so the windows of both kinds are run
            (row, item.window, self._runs(item))
            for row, item in enumerate(windows)
            if item is not None and item.window.cause is Cause.PRESENT
        ]
        for model in {runs: None for _, _, runs in judged if runs is not None}:
            mine = [(row, window) for row, window, runs in judged if runs is model]
            try:
                found = model.classify([window for _, window in mine])
            except Exception as exc:  # whatever ails a model on probation, the one before takes over
                if self._probation is None or model is not self.serving:
                    raise
                self._roll_back(self._probation, exc)
                return self.classify(windows)
            for (row, _), probabilities in zip(mine, found, strict=True):
                outputs[row] = probabilities
        return outputs

    def take_over(self, swap: Swap) -> None:
        """Let another model serve from here on."""
        before, new = self.serving, swap.model
        try:
            for monitor in self._monitors():
                resampling_ratio(monitor.sample_rate_hz, new.input.sample_rate_hz)
            new.open(self._max_batch)
        except EdgeError as exc:
            swap.tell("refused", str(exc))
            return
        self._probation = _Probation(before, swap)
        self.serving, self.inputs = new, tuple({before.input: None, new.input: None})
        swap.tell("took_over", "")

    def watch(self) -> None:
        """End the probation when it is over; called after each batch."""
        probation, now_s = self._probation, time.monotonic()
        if probation is None:
            return
        if probation.until_s is None and any(monitor.model is self.serving for monitor in self._monitors()):
            probation.until_s = now_s + probation.swap.probation_s
        if probation.until_s is None or now_s < probation.until_s:
            return
        monitors = self._monitors()
        if len(self.inputs) == 1 or all(monitor.model is not probation.before for monitor in monitors):
            self._end_probation(probation.before)
            for monitor in monitors:
                monitor.spares = []
            probation.swap.tell("confirmed", "")

    def _roll_back(self, probation: _Probation, why: Exception) -> None:
        """Let the model before judge again, and first what it would have judged meanwhile."""
        failed, self.serving = self.serving, probation.before
        self._end_probation(failed)
        for monitor in self._monitors():
            spares, monitor.spares = monitor.spares, []
            for first in range(0, len(spares), self._max_batch):
                self._decide([StreamWindow(monitor, window) for window in spares[first : first + self._max_batch]])
        probation.swap.tell("rolled_back", str(why))

    def _end_probation(self, leaving: Model) -> None:
        self._probation, self.inputs = None, (self.serving.input,)
        try:
            leaving.close()
        except Exception:  # noqa: BLE001  it is gone either way, and the other one serves
            _LOG.warning("the model that left could not be closed", exc_info=True)
