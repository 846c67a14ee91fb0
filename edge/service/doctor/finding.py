"""What the doctor says: one finding a fact, with the command that mends it. Knows nothing of what is examined."""

import subprocess
from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]
_PATIENCE_S = 10.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Warn: it works, or may, and will hurt one day. Fail: the monitor does not do its work like this.
    """

    check: str
    level: Level
    what: str
    mend: str = ""  # a command, or what to do where no command can; empty when it is ok


def ok(check: str, what: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(check=check, level="ok", what=what)


def warn(check: str, what: str, mend: str) -> Finding:
    """Say that something will hurt one day."""
    return Finding(check=check, level="warn", what=what, mend=mend)


def fail(check: str, what: str, mend: str) -> Finding:
    """Say that something keeps the monitor from its work."""
    return Finding(check=check, level="fail", what=what, mend=mend)


def ask(*command: str) -> str | None:
    """Return what a program of the system prints; None where it is not there, fails or takes too long."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)  # noqa: S603  fixed commands
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout
