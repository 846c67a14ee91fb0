"""What the classifier stage says about one window: the only input of the alarms.

Knows nothing of models, thresholds or wall clocks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import StreamError
from edge.core.samples import Cause
from edge.signal.watch import UNKNOWN, Pulse


@dataclass(frozen=True, slots=True)
class Decision:
    """One window of one stream after classification and pooling.

    The decisions of a stream come in the order of their windows. Windows may overlap; `end_s` grows from one to the
    next. A stretch without a decision is no evidence of anything.
    """

    stream: str  # opaque id, unique on this device
    first_sample: int  # native sample index of the window's first instant
    end_sample: int  # native sample index after its last instant
    end_s: float  # stream time of the window's end: seconds since sample 0
    cause: Cause  # PRESENT: the window was good; else the main reason why it was not
    leads: tuple[str, ...]  # the leads that were kept
    probabilities: NDArray[np.float32] | None  # (labels,), in the manifest's order; None when not good
    overload: bool = False  # the window came while the machine gave up windows
    pulse: Pulse = UNKNOWN  # at the window's end; known for bad windows too
    beats: tuple[int, ...] = ()  # native sample indices of the QRS complexes found since the decision before

    def __post_init__(self) -> None:
        """Raise StreamError when quality and probabilities contradict each other."""
        if (self.cause is Cause.PRESENT) != (self.probabilities is not None):
            raise StreamError(
                f"window at sample {self.first_sample}: probabilities go with good windows, and only there"
            )

    @property
    def good(self) -> bool:
        """Whether the window was good enough to be classified."""
        return self.probabilities is not None
