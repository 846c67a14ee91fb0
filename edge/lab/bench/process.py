"""The service under test: a process of its own, pinned to one core and observed through /proc. Linux only."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.core.errors import BenchError
from edge.service.report import ServiceReport

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_STOP_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Resources of a process at one moment."""

    cpu_s: float
    rss_mb: float
    peak_rss_mb: float
    descriptors: int
    threads: int


def cores() -> tuple[int, frozenset[int]]:
    """Return the core for the service and the other cores; both are the same where there is only one.

    Raises
    ------
    BenchError
        Where the system cannot pin processes.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise BenchError("the bench pins processes to cores, which needs Linux")
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], frozenset(usable[:-1] or usable)


@contextmanager
def pinned(usable: frozenset[int]) -> Iterator[None]:
    """Restrict this thread, and the processes it starts meanwhile, to some cores."""
    before = os.sched_getaffinity(0)  # child processes inherit the restriction
    os.sched_setaffinity(0, usable)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class ServiceProcess:
    """`ecg-edge run` with a configuration, as a context manager.

    Parameters
    ----------
    config : text of the TOML file
    usable : cores to which it is pinned
    """

    def __init__(self, config: str, usable: frozenset[int]) -> None:
        self._config = config
        self._usable = usable

    def __enter__(self) -> "Self":
        self._folder = tempfile.TemporaryDirectory(prefix="ecg-nat-bench-")
        folder = Path(self._folder.name)
        self._report, self._log = folder / "report.json", folder / "log"
        (folder / "ecg-edge.toml").write_text(self._config, "utf-8")
        files = ["--config", str(folder / "ecg-edge.toml"), "--json", str(self._report)]
        # A process of its own, as in real use: its CPU time and memory are then the service's alone.
        with pinned(self._usable), self._log.open("wb") as log:
            self.started_s = time.monotonic()
            command = [sys.executable, "-m", "edge", "run", *files]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603  our own command line
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def usage(self) -> Usage:
        """Read the resources of the process.

        Raises
        ------
        BenchError
            When it has ended.
        """
        folder = Path("/proc") / str(self._process.pid)
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()  # from field 3 on; see proc(5)
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            # Read from outside: asking the service itself would add to what is measured.
            descriptors = len(list((folder / "fd").iterdir()))
            return Usage(
                cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
                rss_mb=round(int(status["VmRSS"].split()[0]) / 1024, 1),
                peak_rss_mb=round(int(status["VmHWM"].split()[0]) / 1024, 1),
                descriptors=descriptors,
                threads=int(status["Threads"]),
            )
        except (OSError, KeyError, IndexError) as exc:
            raise BenchError(f"the service ended by itself: {self.last_log_line}") from exc

    @property
    def last_log_line(self) -> str:
        """The last line of its log that is not empty."""
        lines = self._log.read_text("utf-8", "replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "its log is empty")

    def stop(self) -> ServiceReport:
        """End it as systemd does, and return its report.

        Raises
        ------
        BenchError
            When it does not end in time, or with an error.
        """
        self._process.send_signal(signal.SIGTERM)  # on which the service writes its report
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired as exc:
            raise BenchError(f"the service did not end within {_STOP_S:g} s of SIGTERM") from exc
        if code or not self._report.is_file():
            raise BenchError(f"the service failed with code {code}: {self.last_log_line}")
        return msgspec.json.decode(self._report.read_bytes(), type=ServiceReport)
