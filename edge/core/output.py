"""Output that several commands share: reports as JSON, and stream times for people."""

import sys
from pathlib import Path

import msgspec


def write_json(report: msgspec.Struct, path: Path) -> None:
    """Write a report as JSON to a file, or to standard output for `-`."""
    text = msgspec.json.format(msgspec.json.encode(report)) + b"\n"
    if str(path) == "-":
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
    else:
        path.write_bytes(text)


def clock(seconds: float) -> str:
    """Return a stream time as h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
