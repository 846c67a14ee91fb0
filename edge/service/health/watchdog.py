"""Checks whether the service is well, pings systemd while it is, and reports its status.

The service is well while every loop turns or rests, and no window waits too long for its decision. A silent sensor or
an unreachable broker is no reason for a restart: alarms and status report them.
"""

import logging
import time
from collections.abc import Callable, Iterable

from edge.core.loops import Loop
from edge.service.systemd import Notifier

_LOG = logging.getLogger(__name__)
OLDEST_S = 30.0  # longest time a window may wait for its decision
_STATUS_EVERY_S = 1.0
_PINGS = 4  # in each period that systemd allows, so that a late one does no harm


class Watchdog:
    """Call `check` a few times a second.

    Parameters
    ----------
    notifier : to systemd
    loops : gives the current loops
    oldest_s : gives how long the oldest window has waited for its decision
    status_line : gives the status of a service that is well, in one line
    clock_s : gives monotonic time
    """

    def __init__(
        self,
        notifier: Notifier,
        *,
        loops: Callable[[], Iterable[Loop]],
        oldest_s: Callable[[], float],
        status_line: Callable[[], str],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier
        self._loops = loops
        self._oldest_s = oldest_s
        self._status_line = status_line
        self._clock_s = clock_s
        self._well = True
        self._next_ping_s = self._next_status_s = float("-inf")
        self._status = ""

    def check(self) -> None:
        """Ping if all is well and a ping is due, and send the status if it changed."""
        now_s = self._clock_s()
        troubles = self.troubles()
        if bool(troubles) == self._well:
            self._well = not troubles
            _LOG.error("stuck: %s", "; ".join(troubles)) if troubles else _LOG.warning("all loops turn again")
        # Without a ping, systemd kills the service and starts it again.
        if not troubles and self._notifier.watchdog_s is not None and now_s >= self._next_ping_s:
            self._next_ping_s = now_s + self._notifier.watchdog_s / _PINGS
            self._notifier.ping()
        if now_s >= self._next_status_s:
            self._next_status_s = now_s + _STATUS_EVERY_S
            self._set_status("stuck: " + "; ".join(troubles) if troubles else self._status_line())

    def troubles(self) -> list[str]:
        """Return what is not well, a line each."""
        found = [f"{loop.name} has not turned for {loop.busy_s:.0f} s" for loop in self._loops() if loop.stuck]
        oldest_s = self._oldest_s()
        if oldest_s > OLDEST_S:
            found.append(f"a window has waited {oldest_s:.0f} s for its decision")
        return found

    def _set_status(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self._notifier.status(status)
