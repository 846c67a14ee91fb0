"""The decoder that a serial port's configuration asks for, and the command that starts the device.

To add a format, write its decoder in `formats/`, and add it to `SerialFormat` in `config.py` and to this module.
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from edge.core.errors import ConfigError, FrameError
from edge.core.samples import Block
from edge.sources.config import SerialConfig, SerialFormat
from edge.sources.formats import cyton, protocentral
from edge.sources.formats.adc import AdcSpec
from edge.sources.formats.ascii_lines import AsciiDecoder
from edge.sources.formats.cyton import CytonDecoder, cyton_spec
from edge.sources.formats.frame_decoder import FrameDecoder
from edge.sources.formats.protocentral import ProtocentralDecoder

_OPENED = itertools.count(1)  # ASCII lines carry no session, so each opened source is a new epoch
UNHEARD = "unheard"  # epoch of a stream before its device sends anything


class Decoder(Protocol):
    """Bytes in, blocks out."""

    counters: Counter[str]

    def feed(self, data: bytes) -> list[Block]:
        """Take the next bytes and return the blocks that they complete."""


class _Settings(NamedTuple):
    """What a wire may leave open: the configuration sets it, else the format's usual values hold."""

    leads: tuple[str, ...]
    sample_rate_hz: float
    gain: float  # ADC units per mV
    baseline: int = 0

    def spec(self) -> AdcSpec:
        """Return the spec; all leads have the same gain and baseline."""
        count = len(self.leads)
        return AdcSpec(self.leads, self.sample_rate_hz, (self.gain,) * count, (self.baseline,) * count)

    def one_lead(self) -> AdcSpec:
        """Return the spec of a format with one lead; FrameError when there are more."""
        if len(self.leads) > 1:
            raise FrameError(f"the format carries one lead, not {len(self.leads)}")
        return self.spec()


_DEFAULTS: dict[SerialFormat, _Settings] = {
    "frame": _Settings(("I",), 250.0, 1.0),  # until the first HEADER
    "ascii": _Settings(("I",), 250.0, 225.0, 512),  # an AD8232 with a gain of 1100 on 10 bits of 5 V
    "cyton": _Settings(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), cyton.RATE_HZ, cyton.UNITS_PER_MV),
    "ads1292r": _Settings(("I",), protocentral.RATE_HZ, protocentral.ADS1292R_UNITS_PER_MV),
    "healthypi": _Settings(("I",), protocentral.RATE_HZ, protocentral.HEALTHYPI_UNITS_PER_MV),
}


@dataclass(frozen=True)
class WireFormat:
    """How to read a port."""

    decoder: Decoder
    spec: AdcSpec  # as configured; frames bring their own
    start_command: bytes = b""  # makes the device send
    numbered: bool = False  # whether the device counts its samples

    def placeholder(self, stream: str) -> Block:
        """Return an empty block of a stream that has not sent anything yet."""
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


def wire_format(config: SerialConfig) -> WireFormat:
    """Return how to read the port that `config` describes.

    Raises
    ------
    ConfigError
        When leads, rate or scale are out of range.
    """
    try:
        return _wire_format(config, _settings(config))
    except FrameError as exc:
        raise ConfigError(f"serial source, format {config.format}: {exc}") from exc


def _settings(config: SerialConfig) -> _Settings:
    default = _DEFAULTS[config.format]
    return _Settings(
        leads=config.leads or default.leads,
        sample_rate_hz=default.sample_rate_hz if config.sample_rate_hz is None else config.sample_rate_hz,
        gain=default.gain if config.gain is None else config.gain,
        baseline=default.baseline if config.baseline is None else config.baseline,
    )


def _wire_format(config: SerialConfig, settings: _Settings) -> WireFormat:
    match config.format:
        case "frame":
            return WireFormat(FrameDecoder(config.stream), settings.spec(), numbered=True)
        case "ascii":
            spec = settings.one_lead()
            return WireFormat(AsciiDecoder(config.stream, spec, config.adc_max, epoch=str(next(_OPENED))), spec)
        case "cyton":
            spec = cyton_spec(settings.leads, settings.gain, settings.sample_rate_hz)
            decoder = CytonDecoder(config.stream, spec, settings.leads)
            return WireFormat(decoder, spec, start_command=cyton.START)
        case "ads1292r" | "healthypi":
            spec = settings.one_lead()
            return WireFormat(ProtocentralDecoder(config.stream, spec, config.width), spec)
