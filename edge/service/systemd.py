"""Notifications to systemd: sd_notify(3) and sd_watchdog_enabled(3).

The protocol is one datagram of `KEY=value` lines, too little for a dependency. Without systemd nothing is sent.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_SEND_TIMEOUT_S = 1.0  # systemd reads at once; if it does not, the service must go on


class Notifier:
    """Sends notifications to systemd; a context manager, called by one thread.

    Parameters
    ----------
    environment : holds `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` where systemd runs the service
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.watchdog_s = _watchdog_s(environment)
        self._socket = _connect(environment.get("NOTIFY_SOCKET", ""))

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def ready(self) -> None:
        """Report that the service is up, or has reloaded."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the service is reloading, until `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def ping(self) -> None:
        """Report that all is well. Without a ping for `watchdog_s`, systemd kills and restarts the service."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send("STATUS=" + " ".join(text.split()))

    def _send(self, lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a later notification follows, or this was the last one
                self._socket.send(lines.encode())


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    try:
        period_s = int(environment["WATCHDOG_USEC"]) / 1e6
        ours = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except (KeyError, ValueError):
        return None
    return period_s if ours and period_s > 0 else None


def _connect(address: str) -> socket.socket | None:
    if not address.startswith(("/", "@")):  # vsock and other addresses do not occur for a service
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    connection.settimeout(_SEND_TIMEOUT_S)
    try:
        connection.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
    except OSError:
        connection.close()
        return None
    return connection
