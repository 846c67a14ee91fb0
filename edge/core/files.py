"""Atomic file writing: a reader, or a power cut, finds the old content or the new one and never a mixture."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a scratch path in the same folder; when the block ends, the scratch file replaces `path`.

    When the block raises, the scratch file is deleted and `path` stays as it was. OSError when a step fails.
    """
    # A random name: two processes may write the same file at the same time, and the last one to finish wins.
    scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield scratch
        _sync(scratch)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically, readable by this user alone; OSError when that fails."""
    with atomic_path(path) as scratch, open(scratch, "xb", opener=_open_private) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk: a rename survives a power cut only then."""
    _sync(folder)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
