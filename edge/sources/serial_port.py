"""A device on a serial port, which sends frames or ASCII lines.

Knows the port; what the bytes mean is `edge.framing`'s. A port that vanishes raises one SourceError;
to end the streams and to open it again is up to the caller.
"""

import itertools
import logging
import time
from collections.abc import Iterator, Mapping

import serial

from edge.errors import ConfigError, FrameError, SourceError
from edge.framing.adc import AdcSpec
from edge.framing.ascii_lines import AsciiDecoder
from edge.framing.frame import FrameDecoder
from edge.samples import Block
from edge.sources.base import SourceBase
from edge.sources.config import SerialConfig

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1  # how soon `stop` is seen
_OPENED = itertools.count(1)  # lines carry no number, so each source begins a count of its own


class SerialPortSource(SourceBase):
    """The blocks that arrive on a serial port, until `stop`.

    `counters` are those of the decoder, and `silences`: how often nothing came for `silent_after_s`.

    Raises
    ------
    ConfigError
        When lead, rate or scale of ASCII lines cannot be meant.
    """

    def __init__(self, config: SerialConfig) -> None:
        super().__init__()
        self._config = config
        self._decoder = _decoder(config)
        self._port: serial.Serial | None = None

    @property
    def counters(self) -> Mapping[str, int]:
        """What was thrown away so far, by name."""
        return {**dict(self._counters), **dict(self._decoder.counters)}

    def open(self) -> None:
        """Open the port, if it is not open; `blocks` does it too.

        Raises
        ------
        SourceError
            When the port is missing, busy, or not permitted.
        """
        if self._port is None:
            try:
                self._port = serial.Serial(self._config.port, self._config.baud, timeout=_POLL_S, exclusive=True)
            except (serial.SerialException, OSError, ValueError) as exc:
                raise SourceError(
                    f"serial port {self._config.port} cannot be opened ({_reason(exc)}); is it plugged in, is the name "
                    "right (`python -m serial.tools.list_ports`), and may this user read it (group dialout)?"
                ) from exc

    def blocks(self) -> Iterator[Block]:
        """Yield what arrives until `stop`.

        Raises
        ------
        SourceError
            When the port cannot be opened, or vanishes.
        """
        self.open()
        heard_s, silent = time.monotonic(), False
        while not self._stopping.is_set():
            data = self._read()
            if data:
                heard_s, silent = time.monotonic(), False
                yield from self._decoder.feed(data)
            elif not silent and time.monotonic() - heard_s > self._config.silent_after_s:
                silent = True
                self._counters["silences"] += 1
                _LOG.warning("serial port %s: nothing for %g s", self._config.port, self._config.silent_after_s)

    def close(self) -> None:
        """Stop, and close the port."""
        super().close()
        if self._port is not None:
            self._port.close()

    def _read(self) -> bytes:
        """Return what is there, or wait a moment for the first byte."""
        port = self._port
        if port is None or not port.is_open:
            return b""
        try:
            return bytes(port.read(max(1, port.in_waiting)))
        except (serial.SerialException, OSError, TypeError) as exc:  # TypeError: closed by another thread meanwhile
            if self._stopping.is_set():
                return b""
            raise SourceError(f"serial port {self._config.port} vanished ({_reason(exc)}); plug it in again") from exc


def _decoder(config: SerialConfig) -> FrameDecoder | AsciiDecoder:
    if config.format == "frame":
        return FrameDecoder(config.stream)
    try:
        spec = AdcSpec((config.lead,), config.sample_rate_hz, (config.gain,), (config.baseline,))
    except FrameError as exc:
        raise ConfigError(f"serial source: {exc}") from exc
    return AsciiDecoder(config.stream, spec, config.adc_max, epoch=str(next(_OPENED)))


def _reason(exc: Exception) -> str:
    return " ".join(str(exc).split())[:120]
