"""The findings of the doctor: one for each fact, with the command that fixes it."""

import subprocess
from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]
_TIMEOUT_S = 10.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fact.

    Warn: it works now, but may cause trouble later. Fail: the monitor cannot do its work like this.
    """

    check: str
    level: Level
    message: str = msgspec.field(name="what")
    fix: str = msgspec.field(name="mend", default="")  # a command, or what to do instead; empty when it is ok


def ok(check: str, message: str) -> Finding:
    """Return a finding of something that is right."""
    return Finding(check=check, level="ok", message=message)


def warn(check: str, message: str, fix: str) -> Finding:
    """Return a finding of something that may cause trouble later."""
    return Finding(check=check, level="warn", message=message, fix=fix)


def fail(check: str, message: str, fix: str) -> Finding:
    """Return a finding of something that keeps the monitor from its work."""
    return Finding(check=check, level="fail", message=message, fix=fix)


def output_of(*command: str) -> str | None:
    """Return the output of a system program; None where it is not installed, fails, or takes too long."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)  # noqa: S603  fixed commands
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout
