"""The decision about one window: the only input of the alarms."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.beats.classes import ClassifiedBeat
from edge.core.errors import StreamError
from edge.core.samples import Cause
from edge.signal.analyzer import UNKNOWN_RATE, HeartRate


@dataclass(frozen=True, slots=True)
class Decision:
    """One window of one stream after classification and pooling.

    The decisions of a stream come in the order of their windows. Windows may overlap; `end_s` grows from each decision
    to the next. Where no window was decided, nothing is known.
    """

    stream: str  # opaque id, unique on this device
    first_sample: int  # native sample index of the window's first instant
    end_sample: int  # native sample index after its last instant
    end_s: float  # stream time of the window's end: seconds since sample 0 of the epoch
    cause: Cause  # PRESENT: the window was good; otherwise the main reason why it was not
    leads: tuple[str, ...]  # the leads that were kept
    probabilities: NDArray[np.float32] | None  # (labels,), in the manifest's order; None when not good
    overload: bool = False  # windows were being shed when it arrived
    heart_rate: HeartRate = UNKNOWN_RATE  # at the window's end; it may be known for bad windows too
    rhythms: Mapping[str, float | None] | None = (
        None  # those that held since the previous decision, with p; None: a gap
    )
    classified: tuple[ClassifiedBeat, ...] = ()  # beats whose class became known since then
    beats: tuple[int, ...] = ()  # native sample indices of the QRS complexes found since the previous decision

    def __post_init__(self) -> None:
        """Raise StreamError when quality and probabilities contradict each other."""
        if (self.cause is Cause.PRESENT) != (self.probabilities is not None):
            raise StreamError(
                f"window at sample {self.first_sample}: a good window has probabilities, and a bad one has none"
            )

    @property
    def good(self) -> bool:
        """Whether the window was good enough to be classified."""
        return self.probabilities is not None
