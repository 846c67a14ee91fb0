"""What a service tells systemd, and what systemd tells it: sd_notify(3), sd_watchdog_enabled(3).

The protocol is one datagram of `KEY=value` lines; sdnotify on PyPI is from 2017, and the others wrap libsystemd for it.
Without systemd nothing is sent. Knows nothing of what goes on in the service.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_SEND_TIMEOUT_S = 1.0  # systemd reads at once; it must not hold us up when it does not


class Notifier:
    """A context manager that tells systemd how the service does; one thread calls it.

    Parameters
    ----------
    environment : holds `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` where systemd wants to be told
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
        """Say that the service is up, or that it has reloaded."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that the service loads anew; `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._tell("STOPPING=1")

    def ping(self) -> None:
        """Say that all is well; the service is killed and restarted when this is not said for `watchdog_s`."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Say in one line how things are, for `systemctl status`."""
        self._tell("STATUS=" + " ".join(text.split()))

    def _tell(self, lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is told again, or it was the last word
                self._socket.send(lines.encode())


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    try:
        period_s = int(environment["WATCHDOG_USEC"]) / 1e6
        ours = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except (KeyError, ValueError):
        return None
    return period_s if ours and period_s > 0 else None


def _connect(address: str) -> socket.socket | None:
    if not address.startswith(("/", "@")):  # of vsock and the like a service needs nothing
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    connection.settimeout(_SEND_TIMEOUT_S)
    try:
        connection.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
    except OSError:
        connection.close()
        return None
    return connection
