"""The evidence for an alert: the deciding window, small enough to travel in the alert itself.

The samples are those that the model saw, resampled and conditioned, as 16-bit integers; base64 in JSON. Evidence is
made only for windows that cause an event, as copying samples for each window would cost time.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edge.core.leads import LEADS
from edge.signal.windows import Window

UNITS_PER_MV = 1000  # conditioning limits a sample to 10 mV
MAX_SAMPLES = 12_288  # of all leads together: 12 leads of 10 s at 100 Hz, 32 KB as base64
FLOOR = 0.01  # smaller probabilities are left out
MAX_PROBABILITIES = 100


class LeadQuality(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Quality of one lead of the stream in the deciding window."""

    lead: Annotated[str, Meta(pattern="^[A-Za-z0-9]{1,8}$", description="Name of the lead.")]
    kept: Annotated[bool, Meta(description="Whether the lead was good enough for the model.")]
    present: Annotated[float, Meta(description="Part of its samples that arrived, 0 to 1.")]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The deciding window as the model saw it: at the model's rate, conditioned, gaps as zeros.

    `samples` is (kept leads, samples) int16, `units_per_mv` to the millivolt. Of a window too long for the limit it
    holds the last part. It is empty where no lead was kept.
    """

    cause: Annotated[str, Meta(description="`present` when the window was good; otherwise why it was not classified.")]
    sample_rate_hz: Annotated[float, Meta(ge=25, le=1000, description="Rate of `samples`, the model's own.")]
    units_per_mv: Annotated[int, Meta(ge=1, le=100_000, description="Units of `samples` per millivolt.")] = UNITS_PER_MV
    samples: Annotated[
        bytes,
        Meta(
            max_length=2 * MAX_SAMPLES,
            description="Little-endian int16, one kept lead after the other. Base64 in JSON.",
        ),
    ]
    leads: Annotated[
        tuple[LeadQuality, ...],
        Meta(
            max_length=len(LEADS),
            description="Quality of each lead of the stream. The kept ones are in `samples`, in this order.",
        ),
    ]
    probabilities: Annotated[
        dict[str, float], Meta(max_length=MAX_PROBABILITIES, description="Pooled probabilities by label, from 0.01 up.")
    ]

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the leads in `samples`, in their order."""
        return tuple(lead.lead for lead in self.leads if lead.kept)

    def signal_mv(self) -> NDArray[np.float32]:
        """Return the samples as (kept leads, samples) float32, mV.

        Raises
        ------
        ValueError
            When they do not divide into the kept leads.
        """
        kept = len(self.kept)
        if not kept:
            return np.zeros((0, 0), np.float32)
        units = np.frombuffer(self.samples, "<i2").reshape(kept, -1)
        return (units / self.units_per_mv).astype(np.float32)


def window_evidence(
    window: Window, probabilities: NDArray[np.float32] | None, labels: Sequence[str], sample_rate_hz: float
) -> Evidence:
    """Return a window, cut at the model's rate, as evidence; `probabilities` is (labels,), pooled."""
    signal = window.signal
    if len(signal):
        signal = signal[:, -(MAX_SAMPLES // len(signal)) :]
    return Evidence(
        cause=window.cause.key,
        sample_rate_hz=sample_rate_hz,
        samples=np.rint(signal * UNITS_PER_MV).astype("<i2").tobytes(),
        leads=tuple(
            LeadQuality(lead=LEADS[position], kept=position in window.positions, present=round(float(part), 3))
            for position, part in zip(window.all_positions, window.present, strict=True)
        ),
        probabilities={} if probabilities is None else _named(probabilities, labels),
    )


def _named(probabilities: NDArray[np.float32], labels: Sequence[str]) -> dict[str, float]:
    """Return the probabilities from the floor up by label, in the bundle's order; of too many, the highest."""
    likely = np.flatnonzero(probabilities >= FLOOR)
    if likely.size > MAX_PROBABILITIES:
        likely = np.sort(np.argsort(-probabilities, kind="stable")[:MAX_PROBABILITIES])
    return {labels[output]: round(float(probabilities[output]), 4) for output in likely.tolist()}
