"""The machine: whether its clock is right, and whether the disk has room where the service writes."""

import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edge.service.config import ServiceConfig
from edge.service.doctor.finding import Finding, fail, ok, output_of, warn

_RELEASED_S = 1_763_000_000  # November 2025, when this program was written; an earlier clock is wrong
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # more than any `struct timex`; its first field, `modes`, is 0: change nothing
_MIN_FREE_MB, _LOW_FREE_MB = 64, 512


class Clock(NamedTuple):
    """The state of the system clock."""

    now_s: float  # since 1970
    synchronised: bool | None  # None: not known


class Folder(NamedTuple):
    """A folder that the service writes to."""

    path: str
    exists: bool
    writable: bool  # by this user
    free_mb: float


def read_clock() -> Clock:
    """Ask systemd, else the kernel."""
    answer = output_of("timedatectl", "show", "--property=NTPSynchronized", "--value")
    synchronised = _kernel_synchronised() if answer is None else answer.strip() == "yes"
    return Clock(time.time(), synchronised)


def inspect_folder(path: Path) -> Folder:
    """Return how much room there is, and try to write a file."""
    if not path.is_dir():
        return Folder(str(path), exists=False, writable=False, free_mb=0.0)
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"\0")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        writable = False
    else:
        writable = True
    return Folder(str(path), exists=True, writable=writable, free_mb=shutil.disk_usage(path).free / (1 << 20))


def check_clock(clock: Clock) -> Iterator[Finding]:
    """Check the clock. Samples are counted without it, but alerts carry its time, and certificates expire by it."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(clock.now_s))
    if clock.now_s < _RELEASED_S:
        yield fail("clock", f"it shows {shown}, which is in the past", "sudo timedatectl set-ntp true")
    elif clock.synchronised is None:
        yield warn("clock", f"{shown}; it is not known whether it is synchronised", "timedatectl  # on the host")
    elif not clock.synchronised:
        yield warn("clock", f"{shown}; not synchronised", "sudo timedatectl set-ntp true  # and allow UDP port 123 out")
    else:
        yield ok("clock", f"{shown}, synchronised")


def folders_of(config: ServiceConfig) -> list[Path]:
    """Return the folders that the service writes to."""
    files = [name for name in (config.publish.outbox, config.publish.alert_log) if name]
    return sorted({Path(name).parent for name in files})


def check_folder(folder: Folder, outbox_messages: int) -> Iterator[Finding]:
    """Check a folder that must hold `outbox_messages` alerts."""
    needed_mb = _MIN_FREE_MB + outbox_messages / 1000  # about 1 KB each
    if not folder.exists:
        yield fail("disk", f"{folder.path}: there is no such folder", f"sudo install -d -o $USER {folder.path}")
    elif not folder.writable:
        yield fail(
            "disk",
            f"{folder.path}: this user cannot write there",
            f"sudo chown $USER {folder.path}  # or run the doctor as the service's user",
        )
    elif folder.free_mb < needed_mb:
        yield fail(
            "disk",
            f"{folder.path}: {folder.free_mb:.0f} MB free, needs {needed_mb:.0f}",
            f"du -xh {folder.path} | sort -h | tail",
        )
    elif folder.free_mb < needed_mb + _LOW_FREE_MB:
        yield warn("disk", f"{folder.path}: only {folder.free_mb:.0f} MB free", "sudo journalctl --vacuum-size=200M")
    else:
        yield ok("disk", f"{folder.path}: writable, {folder.free_mb:.0f} MB free")


def _kernel_synchronised() -> bool | None:
    """Ask adjtimex(2) for the state of the clock, and change nothing."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
