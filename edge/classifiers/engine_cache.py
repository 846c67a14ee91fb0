"""Caches TensorRT engines on this device. An engine is found only if everything it depends on is unchanged.

    <bundle>.<precision>.engine   one line of JSON (`_Header`), then the engine
    <GPU>.timing                  TensorRT's timing cache, which makes the next build faster

An engine is executable code, so the cache trusts only what this user wrote: only this user may write to the folder, and
each file holds its key and the SHA-256 of its engine. An engine that does not match is built again.
"""

import hashlib
import os
import re
import stat
from pathlib import Path

import msgspec

from edge.core.errors import BundleError
from edge.core.files import write_atomic

_HEADER_LIMIT = 4096


class Gpu(msgspec.Struct, frozen=True):
    """The GPU that an engine is built for."""

    name: str
    compute_capability: str  # such as 8.7


class EngineKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that an engine depends on. When any of it changes, the engine is built again."""

    graph_sha256: str
    tensorrt: str  # its version
    gpu: Gpu
    precision: str
    max_batch: int


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: EngineKey
    sha256: str  # of the engine that follows


def default_folder() -> Path:
    """Return the folder for engines: in the service's state folder, which systemd names, or in the user's cache."""
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state) / "engines"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-nat" / "engines"


class EngineCache:
    """The engines in one folder.

    Parameters
    ----------
    folder : created if missing, for this user alone

    Raises
    ------
    BundleError
        When the folder cannot be created, or when other users may write to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            about = folder.stat()
        except OSError as exc:
            raise BundleError(f"{folder}: no place for TensorRT engines: {exc.strerror}") from exc
        if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BundleError(
                f"{folder}: an engine is code, and others may write here; make it yours alone (chown, chmod go-w)"
            )

    def engine_path(self, bundle: str, key: EngineKey) -> Path:
        """Return the file of a bundle's engine of one precision; a new engine replaces the old one."""
        return self._folder / (_plain(f"{bundle}.{key.precision}") + ".engine")

    def find(self, bundle: str, key: EngineKey) -> bytes | None:
        """Return the engine built for exactly this key, or None when it must be built."""
        try:
            with self.engine_path(bundle, key).open("rb") as file:
                # Asked of the open file: a path could be exchanged between the check and the reading.
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None
                header = msgspec.json.decode(file.readline(_HEADER_LIMIT), type=_Header)
                engine = file.read()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):  # missing or damaged: building again mends both
            return None
        intact = hashlib.sha256(engine).hexdigest() == header.sha256
        return engine if intact and header.key == key else None

    def store(self, bundle: str, key: EngineKey, engine: bytes) -> Path:
        """Write an engine atomically, and return its path."""
        header = _Header(key, hashlib.sha256(engine).hexdigest())
        path = self.engine_path(bundle, key)
        _write(path, msgspec.json.encode(header) + b"\n" + engine)
        return path

    def timing_cache(self, key: EngineKey) -> bytes:
        """Return TensorRT's timing cache for this GPU and version; empty when there is none."""
        try:
            return self._timing_path(key).read_bytes()
        except OSError:
            return b""

    def store_timing_cache(self, key: EngineKey, content: bytes) -> None:
        """Store TensorRT's timing cache."""
        _write(self._timing_path(key), content)

    def _timing_path(self, key: EngineKey) -> Path:
        return self._folder / (_plain(f"{key.gpu.name}.{key.gpu.compute_capability}.{key.tensorrt}") + ".timing")


def _plain(name: str) -> str:
    """Return a plain file name. Two names may end up the same; the key in the file then tells them apart."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", name)


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises
    ------
    BundleError
        When it cannot be written.
    """
    try:
        write_atomic(path, content)
    except OSError as exc:
        raise BundleError(f"{path}: cannot be written: {exc.strerror}") from exc
