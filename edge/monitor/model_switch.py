"""Which model classifies a window, and how another model takes over.

    serving ──switch_to──► the new one serves on probation, the previous one stays open ──► confirmed: previous closed
                                      │ fails
                                      └──► rolled back: the previous one serves again, from the failed batch on

A model that cuts windows in the same way serves from the next window on. For a model that cuts them differently each
stream is cut in both ways. A stream changes over at the first window of the new kind that begins where everything is
decided and ends later. Until the probation ends, windows of the previous kind are kept if they end later than what is
decided. So every instant lies in a window of the model that decides, after a switch and after a rollback.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.beats.classes import ClassifiedBeat
from edge.beats.fibrillation import Judged
from edge.beats.tracker import BeatSecond
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
    """A window and the stream that it belongs to."""

    monitor: StreamMonitor
    window: Window


@dataclass(frozen=True, slots=True)
class Swap:
    """A request to switch to another model.

    `notify` is called in the classifier thread with a phase and a reason: `refused`, or `took_over` and later
    `confirmed` or `rolled_back`. A model is confirmed when it has served for `probation_s` and every stream uses it.
    """

    model: Model
    probation_s: float
    notify: Callable[[SwapPhase, str], None]
    arrived_s: float


@dataclass(slots=True)
class _Probation:
    previous: Model  # stays open, to serve again if the new model fails
    swap: Swap
    until_s: float | None = None  # monotonic; None until the new model has decided a window


class ModelSwitch:
    """The model that serves and, during a probation, the previous one.

    It belongs to the classifier thread; other threads may read `serving` and `inputs`.

    Parameters
    ----------
    model : that serves first
    max_batch : most windows in one run of a graph
    monitors : gives the streams that are open or closing
    decide : decides windows that were kept, after a rollback
    """

    def __init__(
        self,
        model: Model,
        max_batch: int,
        monitors: Callable[[], list[StreamMonitor]],
        decide: Callable[[list[StreamWindow]], None],
    ) -> None:
        self.serving = model
        self.inputs: tuple[InputSpec, ...] = (model.input,)  # every way in which streams are to be cut now
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
            self._probation.previous.close()

    def model_for(self, item: StreamWindow) -> Model | None:
        """Return the model whose output is used for the next window of a stream; None: the window is not decided."""
        monitor, window = item
        model = self._model_cut_for(item)
        if model is self.serving and monitor.model is not model and len(self.inputs) > 1:
            changes_over = window.first_sample <= monitor.decided_sample < window.end_sample
            return model if changes_over else None
        return model

    def _model_cut_for(self, item: StreamWindow) -> Model | None:
        """Return the open model that a window was cut for; None when the stream no longer uses that model."""
        if item.window.spec == self.serving.input:
            return self.serving
        if self._probation is not None and item.monitor.model is self._probation.previous:
            return self._probation.previous
        return None

    def keep_for_rollback(self, item: StreamWindow) -> None:
        """Keep a window that is not decided, in case the previous model has to decide it."""
        if self._probation is not None:
            item.monitor.keep_for_rollback(item.window)

    def classify(self, windows: Sequence[StreamWindow | None]) -> list[Outputs]:
        """Return the outputs for each window, `max_batch` at most; None where there is nothing to classify."""
        outputs: list[Outputs] = [None] * len(windows)
        # A stream may change over within the batch, so windows of both kinds are classified.
        good = [
            (row, item.window, self._model_cut_for(item))
            for row, item in enumerate(windows)
            if item is not None and item.window.cause is Cause.PRESENT
        ]
        for model in {model: None for _, _, model in good if model is not None}:
            own = [(row, window) for row, window, cut_for in good if cut_for is model]
            try:
                found = model.classify([window for _, window in own])
            except Exception as exc:  # whatever goes wrong on probation, the previous model takes over
                if self._probation is None or model is not self.serving:
                    raise
                self._roll_back(self._probation, exc)
                return self.classify(windows)
            for (row, _), probabilities in zip(own, found, strict=True):
                outputs[row] = probabilities
        return outputs

    def classify_beats(self, seconds: Sequence[BeatSecond]) -> tuple[list[ClassifiedBeat], list[Judged | None]]:
        """Return the classes of the beats in some seconds, and what the window of each second is."""
        try:
            beats = self.serving.classify_beats([beat for second in seconds for beat in second.described])
            return beats, self.serving.judge_fibrillation(seconds)
        except Exception as exc:  # as above
            if self._probation is None:
                raise
            self._roll_back(self._probation, exc)
            return self.classify_beats(seconds)

    def switch_to(self, swap: Swap) -> None:
        """Let another model serve from here on, on probation."""
        previous, new = self.serving, swap.model
        try:
            for monitor in self._monitors():
                resampling_ratio(monitor.sample_rate_hz, new.input.sample_rate_hz)
            new.open(self._max_batch)
        except EdgeError as exc:
            swap.notify("refused", str(exc))
            return
        self._probation = _Probation(previous, swap)
        self.serving, self.inputs = new, tuple({previous.input: None, new.input: None})
        swap.notify("took_over", "")

    def check_probation(self) -> None:
        """Confirm the new model when its probation is over; called after each batch."""
        probation, now_s = self._probation, time.monotonic()
        if probation is None:
            return
        # The time starts with the first decision: a probation without a decision would prove nothing.
        if probation.until_s is None and any(monitor.model is self.serving for monitor in self._monitors()):
            probation.until_s = now_s + probation.swap.probation_s
        if probation.until_s is None or now_s < probation.until_s:
            return
        monitors = self._monitors()
        if len(self.inputs) == 1 or all(monitor.model is not probation.previous for monitor in monitors):
            self._end_probation(probation.previous)
            for monitor in monitors:
                monitor.rollback_windows = []
            probation.swap.notify("confirmed", "")

    def _roll_back(self, probation: _Probation, reason: Exception) -> None:
        """Let the previous model serve again, and decide the windows that were kept for it."""
        failed, self.serving = self.serving, probation.previous
        self._end_probation(failed)
        for monitor in self._monitors():
            kept, monitor.rollback_windows = monitor.rollback_windows, []
            for first in range(0, len(kept), self._max_batch):
                self._decide([StreamWindow(monitor, window) for window in kept[first : first + self._max_batch]])
        probation.swap.notify("rolled_back", str(reason))

    def _end_probation(self, leaving: Model) -> None:
        self._probation, self.inputs = None, (self.serving.input,)
        try:
            leaving.close()
        except Exception:  # noqa: BLE001  it is not used any more, and the other model serves
            _LOG.warning("the model that was replaced could not be closed", exc_info=True)
