"""Figures of a running monitor: the sums over its streams, and what waits for the classifier."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from edge.core.samples import Cause
from edge.signal.account import SampleCounts


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the classifier has not decided yet."""

    windows: int  # in the queue
    oldest_s: float  # since the last block of the oldest window arrived, including those being classified; 0: none


class Totals(SampleCounts, frozen=True, kw_only=True):
    """The seven counters of the account, of one stream or summed over several."""

    duplicates: Annotated[int, Meta(description="Instants that arrived twice. Only the first is used.")]
    windows: Annotated[int, Meta(description="Windows cut.")]
    shed_windows: Annotated[int, Meta(description="Windows dropped because the device was overloaded.")]

    def __add__(self, other: "Totals") -> "Totals":
        missing = Counter(self.missing)
        missing.update(other.missing)  # unlike `+`, this keeps negative counts: an instant may be taken back
        return Totals(
            samples_in=self.samples_in + other.samples_in,
            classified=self.classified + other.classified,
            pending=self.pending + other.pending,
            missing=dict(missing),
            duplicates=self.duplicates + other.duplicates,
            windows=self.windows + other.windows,
            shed_windows=self.shed_windows + other.shed_windows,
        )


EMPTY = Totals(samples_in=0, classified=0, pending=0, missing={}, duplicates=0, windows=0, shed_windows=0)


def missing_totals(instants: int, cause: Cause) -> Totals:
    """Return totals of instants that are missing for one cause; fewer than 0 take some back."""
    return replace(EMPTY, samples_in=instants, missing={cause.key: instants})
