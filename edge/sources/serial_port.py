"""A device on a serial port, which may be unplugged and plugged in again while its stream stays open.

A port that is missing or vanishes is opened again, each time after a longer wait. Meanwhile, and whenever the device
sends nothing, the stream's instants count as silent.
"""

import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import serial

from edge.core.errors import SourceError
from edge.core.samples import Block
from edge.sources.base import SourceBase
from edge.sources.config import SerialConfig
from edge.sources.live_stream import LiveStream
from edge.sources.serial_formats import wire_format

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1  # longest wait before `stop` is checked again
_WRITE_TIMEOUT_S = 1.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 30.0  # before a port is opened again; doubled each time, with random jitter
_RANDOM = secrets.SystemRandom()
BY_ID = Path("/dev/serial/by-id")  # names that belong to the device, whichever port it is plugged into


class SerialPortSource(SourceBase):
    """The blocks that arrive on a serial port, until `stop`.

    `counters`: those of the decoder, `silences` (no samples came for `silent_after_s`), `late_instants` (samples that
    came after they were counted as silent), `disconnects`.

    Raises
    ------
    ConfigError
        When leads, rate or scale are out of range.
    """

    def __init__(self, config: SerialConfig) -> None:
        super().__init__()
        self._config = config
        self._format = wire_format(config)
        self._decoder = self._format.decoder
        self._path = port_path(config.port)
        self._port: serial.Serial | None = None
        self._failures = 0
        self._retry_s = 0.0  # monotonic time of the next try
        self._next_start_s = 0.0  # monotonic time at which the start command may be sent again
        self._live: LiveStream | None = None

    @property
    def counters(self) -> Mapping[str, int]:
        """What was dropped so far, by name."""
        return {**dict(self._counters), **dict(self._decoder.counters)}

    @property
    def true_rates_hz(self) -> Mapping[str, float]:
        """Measured sample rate of the stream, where it is known."""
        rate_hz = self._live.true_rate_hz if self._live is not None else None
        return {} if rate_hz is None else {self._config.stream: rate_hz}

    def open(self) -> None:
        """Open the port, unless it is open; `blocks` does it too.

        Raises
        ------
        SourceError
            When the port is missing, busy, or not permitted.
        """
        if self._port is not None:
            return
        try:
            self._port = serial.Serial(
                self._path, self._config.baud, timeout=_POLL_S, write_timeout=_WRITE_TIMEOUT_S, exclusive=True
            )
        except (serial.SerialException, OSError, ValueError) as exc:
            raise SourceError(
                f"serial port {self._path} cannot be opened ({_reason(exc)}); is it plugged in, is the name "
                "right (`python -m serial.tools.list_ports`), and may this user read it (group dialout)?"
            ) from exc
        stable = stable_name(self._path)
        if stable is not None:
            _LOG.warning("serial port %s may get another name; its stable name is %s", self._path, stable)

    def blocks(self) -> Iterator[Block]:
        """Yield blocks as they arrive, and silent ones where none do, until `stop`."""
        config = self._config
        live = LiveStream(
            config.stream,
            config.silent_after_s,
            self._counters,
            time.monotonic(),
            placeholder=self._format.placeholder(config.stream),
        )
        self._live = live
        self._send_start_command(time.monotonic())
        while not self._stopping.is_set():
            self.loop.turn()
            data = self._read()
            now_s = time.monotonic()
            if data:
                self._failures = 0
            yield from live.receive(self._decoder.feed(data), now_s, numbered=self._format.numbered)
            yield from live.tick(now_s)
            if live.silent:
                self._send_start_command(now_s)
        self.close()

    def close(self) -> None:
        """Stop, and close the port."""
        super().close()
        if self._port is not None:
            self._port.close()

    def _read(self) -> bytes:
        """Return the bytes that are there; wait a moment for the first byte, or for the port."""
        if self._port is None and not self._reopen():
            self._stopping.wait(_POLL_S)
            return b""
        port = self._port
        if port is None or not port.is_open:
            return b""
        try:
            return bytes(port.read(max(1, port.in_waiting)))
        except (serial.SerialException, OSError, TypeError) as exc:  # TypeError: closed by another thread meanwhile
            self._lose_port(exc)
            return b""

    def _reopen(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._retry_s:
            return False
        try:
            self.open()
        except SourceError as exc:
            wait_s = self._wait_longer(now_s)
            _LOG.warning("%s; trying again in %.1f s", exc, wait_s)
            return False
        self._next_start_s = 0.0
        self._send_start_command(now_s)
        return self._port is not None

    def _wait_longer(self, now_s: float) -> float:
        longest_s = min(_FIRST_WAIT_S * 2.0 ** min(self._failures, 16), _LONGEST_WAIT_S)
        wait_s = _RANDOM.uniform(longest_s / 2, longest_s)
        self._failures += 1
        self._retry_s = now_s + wait_s
        return wait_s

    def _lose_port(self, why: Exception) -> None:
        """Close a port that failed; it is opened again later."""
        port, self._port = self._port, None
        if port is None or self._stopping.is_set():
            return
        self._counters["disconnects"] += 1
        wait_s = self._wait_longer(time.monotonic())
        _LOG.warning("serial port %s vanished (%s); trying again in %.1f s", self._path, _reason(why), wait_s)
        port.close()

    def _send_start_command(self, now_s: float) -> None:
        """Start a device that sends only after a command; it may have been switched on just now."""
        if not self._format.start_command or self._port is None or now_s < self._next_start_s:
            return
        self._next_start_s = now_s + self._config.silent_after_s
        try:
            self._port.write(self._format.start_command)
        except (serial.SerialException, OSError, TypeError) as exc:  # TypeError: closed by another thread meanwhile
            self._lose_port(exc)


def port_path(port: str) -> str:
    """Return the path of a port; a plain name that exists below /dev/serial/by-id is resolved there."""
    stable = BY_ID / port
    return str(stable) if "/" not in port and stable.exists() else port


def stable_name(path: str) -> str | None:
    """Return the stable name of a port (below /dev/serial/by-id); None without one, or when `path` is that name."""
    if not BY_ID.is_dir():
        return None
    device = Path(path).resolve()
    links = sorted(BY_ID.iterdir())
    if Path(path) in links:
        return None
    return next((str(link) for link in links if link.resolve() == device), None)


def _reason(exc: Exception) -> str:
    return " ".join(str(exc).split())[:120]
