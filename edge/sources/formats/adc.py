"""Samples as the integers of an analog-to-digital converter (ADC), as wires and WFDB files carry them.

mV = (adc - baseline) / gain. Only `mv_from_adc` computes it, so that a record gives the same samples, bit for bit, over
any wire.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause

MAX_LEADS = 16
MAX_LEAD_NAME = 8  # ASCII characters
MIN_RATE_HZ, MAX_RATE_HZ = 10.0, 20_000.0
MIN_GAIN, MAX_GAIN = 1e-6, 1e12
WIDTHS = (2, 3, 4)


@dataclass(frozen=True, slots=True)
class AdcSpec:
    """What the integers of a stream mean.

    Raises
    ------
    FrameError
        When a value is out of range: no lead or too many, a rate outside 10 Hz to 20 kHz, a gain of 0.
    """

    leads: tuple[str, ...]
    sample_rate_hz: float
    gain: tuple[float, ...]  # per lead, ADC units per mV; negative where the lead is inverted
    baseline: tuple[int, ...]  # per lead, the ADC value of 0 mV
    width: int = 2  # bytes of a sample

    def __post_init__(self) -> None:
        check_stream(self.leads, self.sample_rate_hz)
        if len(self.gain) != len(self.leads) or len(self.baseline) != len(self.leads):
            raise FrameError(f"{len(self.leads)} leads need as many gains and baselines")
        if not all(MIN_GAIN <= abs(gain) <= MAX_GAIN for gain in self.gain):  # false for NaN too
            raise FrameError(f"gains {self.gain} must be {MIN_GAIN:g} to {MAX_GAIN:g} ADC units per mV")
        if not all(-(1 << 31) <= baseline < 1 << 31 for baseline in self.baseline):
            raise FrameError(f"baselines {self.baseline} do not fit 32 bits")
        if self.width not in WIDTHS:
            raise FrameError(f"samples of {self.width} bytes; the width must be one of {WIDTHS}")

    @property
    def instant_bytes(self) -> int:
        """Bytes of one sample of every lead."""
        return self.width * len(self.leads)


def check_stream(leads: tuple[str, ...], sample_rate_hz: float) -> None:
    """Raise FrameError when leads or rate cannot be those of an ECG."""
    if not 1 <= len(leads) <= MAX_LEADS:
        raise FrameError(f"{len(leads)} leads; a stream has 1 to {MAX_LEADS}")
    for name in leads:
        if len(name) > MAX_LEAD_NAME or not (name.isascii() and name.isprintable()):
            raise FrameError(f"lead name {name[:20]!r} is not {MAX_LEAD_NAME} printable ASCII characters or fewer")
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise FrameError(f"sample rate {sample_rate_hz:g} Hz is outside {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz")


@dataclass(frozen=True, slots=True)
class AdcBlock:
    """A run of consecutive sample instants as integers; `to_block` converts it to millivolts."""

    first_sample: int
    adc: NDArray[np.int32]  # (leads, samples); the value of a missing sample has no meaning
    missing: NDArray[np.uint8]  # (leads, samples), a `Cause` each; 0: present
    device_us: int  # the device's own clock at the first sample
    last: bool = False

    @property
    def end_sample(self) -> int:
        """Index of the instant after the last one."""
        return self.first_sample + int(self.adc.shape[1])

    def to_block(self, stream: str, spec: AdcSpec, epoch: str = "") -> Block:
        """Return the block in mV; missing samples are 0."""
        samples = mv_from_adc(self.adc, spec)
        samples[self.missing != Cause.PRESENT] = 0.0
        return Block(
            stream=stream,
            sample_rate_hz=spec.sample_rate_hz,
            leads=spec.leads,
            first_sample=self.first_sample,
            samples=samples,
            missing=self.missing,
            device_time_s=self.device_us / 1e6,
            epoch=epoch,
            last=self.last,
        )

    def part(self, start: int, stop: int, spec: AdcSpec) -> "AdcBlock":
        """Return the instants from `start` to `stop`, counted from the block's first; `last` is not kept."""
        return replace(
            self,
            first_sample=self.first_sample + start,
            adc=self.adc[:, start:stop],
            missing=self.missing[:, start:stop],
            device_us=self.device_us + round(start * 1e6 / spec.sample_rate_hz),
            last=False,
        )


class AdcSource(Protocol):
    """A source of ADC integers, which a replay can send over any wire."""

    @property
    def spec(self) -> AdcSpec:
        """Leads, rate and scale of the integers."""

    def adc_blocks(self) -> Iterator[AdcBlock]:
        """Yield the blocks in order; the last one has `last` set and may be empty."""


def mv_from_adc(adc: NDArray[np.int32], spec: AdcSpec) -> NDArray[np.float32]:
    """Return (leads, samples) float32 mV for (leads, samples) ADC integers.

    Computed in float64 and rounded once, so that every wire gives the same bits.
    """
    baseline = np.array(spec.baseline, np.float64)[:, None]
    gain = np.array(spec.gain, np.float64)[:, None]
    mv: NDArray[np.float32] = ((adc - baseline) / gain).astype(np.float32)
    return mv


def invalid_code(width: int) -> int:
    """Return the integer that stands for "no value": the most negative one, as in WFDB formats 16, 24 and 32."""
    return -(1 << (8 * width - 1))


def pack(block: AdcBlock, spec: AdcSpec) -> bytes:
    """Return the samples as little-endian integers of `spec.width` bytes, all leads of an instant together.

    A missing sample becomes the code for "no value".

    Raises
    ------
    FrameError
        When a value does not fit the width.
    """
    code = invalid_code(spec.width)
    values = np.where(block.missing == Cause.PRESENT, block.adc, code).astype("<i4").T
    present = values[values != code]
    if present.size and (present.min() < code or present.max() > -code - 1):
        raise FrameError(f"samples from {present.min()} to {present.max()} do not fit {spec.width} bytes")
    if spec.width == 2:
        return bytes(values.astype("<i2").tobytes())
    # 24 bits and 32 bits: the low bytes of a little-endian int32 are the narrower integer.
    return bytes(np.ascontiguousarray(values).view(np.uint8).reshape(-1, 4)[:, : spec.width].tobytes())


def unpack(data: bytes, spec: AdcSpec, lead_off: int = 0) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Reverse `pack`: return (leads, samples) integers and (leads, samples) causes.

    Parameters
    ----------
    data : whole instants
    spec : of the stream
    lead_off : bit k is set when the electrode of lead k was off

    Raises
    ------
    FrameError
        When `data` ends within an instant, or a bit of `lead_off` stands for no lead.
    """
    if len(data) % spec.instant_bytes:
        raise FrameError(f"{len(data)} bytes are not a whole number of {spec.instant_bytes}-byte instants")
    if lead_off >> len(spec.leads):
        raise FrameError(f"lead-off bits {lead_off:#x} for {len(spec.leads)} leads")
    if spec.width == 2:
        values = np.frombuffer(data, "<i2").astype(np.int32)
    else:
        # The bytes go to the top of an int32; the arithmetic shift back down extends the sign.
        wide = np.zeros((len(data) // spec.width, 4), np.uint8)
        wide[:, 4 - spec.width :] = np.frombuffer(data, np.uint8).reshape(-1, spec.width)
        values = (wide.view("<i4")[:, 0] >> (8 * (4 - spec.width))).astype(np.int32)
    adc = np.ascontiguousarray(values.reshape(-1, len(spec.leads)).T)
    missing = np.where(adc == invalid_code(spec.width), np.uint8(Cause.INVALID), np.uint8(0))
    for lead in range(len(spec.leads)):
        if lead_off >> lead & 1:
            missing[lead] = Cause.LEAD_OFF
    return adc, missing


def lead_off_runs(block: AdcBlock, spec: AdcSpec, max_instants: int) -> Iterator[tuple[AdcBlock, int]]:
    """Split a block where a lead goes off or on, and into at most `max_instants`; yield parts and lead-off bits."""
    weights = 1 << np.arange(len(spec.leads), dtype=np.int64)
    bits = weights @ (block.missing == Cause.LEAD_OFF)  # (samples,) int64
    edges = [0, *(np.flatnonzero(np.diff(bits)) + 1).tolist(), len(bits)]
    for first, end in itertools.pairwise(edges):
        for start in range(first, end, max_instants):
            yield block.part(start, min(start + max_instants, end), spec), int(bits[start])
