"""Which decoder a serial port's configuration asks for, and what the device must be told. Knows no port."""

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from edge.core.errors import ConfigError, FrameError
from edge.core.samples import Block
from edge.sources.config import SerialConfig, SerialFormat
from edge.sources.framing import cyton, protocentral
from edge.sources.framing.adc import AdcSpec
from edge.sources.framing.ascii_lines import AsciiDecoder
from edge.sources.framing.cyton import CytonDecoder, cyton_spec
from edge.sources.framing.frame_decoder import FrameDecoder
from edge.sources.framing.protocentral import ProtocentralDecoder

_OPENED = itertools.count(1)  # lines carry no number, so each source begins a count of its own
UNHEARD = "unheard"  # epoch of a stream before its device says anything


class Decoder(Protocol):
    """Bytes in, blocks out."""

    counters: Counter[str]

    def feed(self, data: bytes) -> list[Block]:
        """Take the next bytes and return the blocks that they complete."""


class _Defaults(NamedTuple):
    leads: tuple[str, ...]
    sample_rate_hz: float
    gain: float  # ADC units per mV
    baseline: int = 0


_DEFAULTS: dict[SerialFormat, _Defaults] = {
    "frame": _Defaults(("I",), 250.0, 1.0),  # until a HEADER says what is true
    "ascii": _Defaults(("I",), 250.0, 225.0, 512),  # an AD8232 with a gain of 1100 on 10 bits of 5 V
    "cyton": _Defaults(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), cyton.RATE_HZ, cyton.UNITS_PER_MV),
    "ads1292r": _Defaults(("I",), protocentral.RATE_HZ, protocentral.ADS1292R_UNITS_PER_MV),
    "healthypi": _Defaults(("I",), protocentral.RATE_HZ, protocentral.HEALTHYPI_UNITS_PER_MV),
}


@dataclass(frozen=True)
class Format:
    """How to read a port."""

    decoder: Decoder
    spec: AdcSpec  # as far as it is known before the device speaks
    start: bytes = b""  # what makes the device send
    sequence: bool = False  # whether the device numbers its samples beyond doubt

    def unheard(self, stream: str) -> Block:
        """Return an empty block of a stream that was not heard yet."""
        shape = (len(self.spec.leads), 0)
        return Block(
            stream=stream,
            sample_rate_hz=self.spec.sample_rate_hz,
            leads=self.spec.leads,
            first_sample=0,
            samples=np.zeros(shape, np.float32),
            missing=np.zeros(shape, np.uint8),
            device_time_s=0.0,
            epoch=UNHEARD,
        )


def serial_format(config: SerialConfig) -> Format:
    """Return how to read the port that `config` describes.

    Raises
    ------
    ConfigError
        When leads, rate or scale cannot be meant.
    """
    default = _DEFAULTS[config.format]
    names = config.leads or default.leads
    rate_hz = default.sample_rate_hz if config.sample_rate_hz is None else config.sample_rate_hz
    gain = default.gain if config.gain is None else config.gain
    baseline = default.baseline if config.baseline is None else config.baseline
    try:
        if config.format == "cyton":
            spec = cyton_spec(names, gain, rate_hz)
            return Format(CytonDecoder(config.stream, spec, names), spec, start=cyton.START)
        spec = AdcSpec(names, rate_hz, (gain,) * len(names), (baseline,) * len(names))
    except FrameError as exc:
        raise ConfigError(f"serial source: {exc}") from exc
    if config.format == "frame":
        return Format(FrameDecoder(config.stream), spec, sequence=True)
    if len(names) > 1:
        raise ConfigError(f"serial source: {config.format} carries one lead, not {len(names)}")
    if config.format == "ascii":
        return Format(AsciiDecoder(config.stream, spec, config.adc_max, epoch=str(next(_OPENED))), spec)
    return Format(ProtocentralDecoder(config.stream, spec, config.width), spec)
