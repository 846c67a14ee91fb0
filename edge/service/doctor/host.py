"""The machine: whether its clock is right, and whether its disk has room where the service writes."""

import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edge.service.config import ServiceConfig
from edge.service.doctor.finding import Finding, ask, fail, ok, warn

_RELEASED_S = 1_763_000_000  # no clock that is right shows a time before this program was written (November 2025)
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # more than any `struct timex`; its first field, `modes`, is 0: change nothing
_LEAST_MB, _LITTLE_MB = 64, 512


class Clock(NamedTuple):
    """What Linux says of its clock."""

    now_s: float  # since 1970
    synchronised: bool | None  # None: nobody can tell


class Folder(NamedTuple):
    """A folder that the service writes to."""

    path: str
    exists: bool
    writable: bool  # by this user
    free_mb: float


def look_at_clock() -> Clock:
    """Ask systemd, else the kernel."""
    answer = ask("timedatectl", "show", "--property=NTPSynchronized", "--value")
    synchronised = _kernel_says() if answer is None else answer.strip() == "yes"
    return Clock(time.time(), synchronised)


def look_at_folder(path: Path) -> Folder:
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
    """Judge the clock: samples are counted without it, but alerts carry its time, and certificates expire by it."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(clock.now_s))
    if clock.now_s < _RELEASED_S:
        yield fail("clock", f"it shows {shown}, which is long ago", "sudo timedatectl set-ntp true")
    elif clock.synchronised is None:
        yield warn("clock", f"{shown}; whether it is synchronised cannot be told here", "timedatectl  # on the host")
    elif not clock.synchronised:
        yield warn("clock", f"{shown}; not synchronised", "sudo timedatectl set-ntp true  # and let UDP port 123 out")
    else:
        yield ok("clock", f"{shown}, synchronised")


def folders_of(config: ServiceConfig) -> list[Path]:
    """Return the folders that the service writes to."""
    files = [name for name in (config.publish.outbox, config.publish.alert_log) if name]
    return sorted({Path(name).parent for name in files})


def check_folder(folder: Folder, outbox_messages: int) -> Iterator[Finding]:
    """Judge a folder that must hold so many alerts."""
    least_mb = _LEAST_MB + outbox_messages / 1000  # about 1 KB each
    if not folder.exists:
        yield fail("disk", f"{folder.path}: there is no such folder", f"sudo install -d -o $USER {folder.path}")
    elif not folder.writable:
        yield fail(
            "disk",
            f"{folder.path}: this user cannot write there",
            f"sudo chown $USER {folder.path}  # or run the doctor as the service's user",
        )
    elif folder.free_mb < least_mb:
        yield fail(
            "disk",
            f"{folder.path}: {folder.free_mb:.0f} MB free, needs {least_mb:.0f}",
            f"du -xh {folder.path} | sort -h | tail",
        )
    elif folder.free_mb < least_mb + _LITTLE_MB:
        yield warn("disk", f"{folder.path}: only {folder.free_mb:.0f} MB free", "sudo journalctl --vacuum-size=200M")
    else:
        yield ok("disk", f"{folder.path}: can be written, {folder.free_mb:.0f} MB free")


def _kernel_says() -> bool | None:
    """Ask adjtimex(2) for the state of the clock, and change nothing."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
