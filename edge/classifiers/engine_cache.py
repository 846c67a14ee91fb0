"""Keeps TensorRT engines on this device: found again only by what they were built from, by and for.

An engine is an executable artefact, so none is ever taken from elsewhere: the folder belongs to this user alone, each
file says which key it was built for and carries the SHA-256 of its engine, and whatever does not match is built again.
Knows nothing of TensorRT.

    <bundle>.<precision>.engine   one line of JSON (`_Header`), then the engine
    <GPU>.timing                  TensorRT's timing cache, which makes the next build faster
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
    """The device that an engine is built for, and runs on."""

    name: str
    compute_capability: str  # such as 8.7


class EngineKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that an engine depends on; when any of it changes, the engine is built again."""

    graph_sha256: str
    tensorrt: str  # its version
    gpu: Gpu
    precision: str
    max_batch: int


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: EngineKey
    sha256: str  # of the engine that follows


def default_folder() -> Path:
    """Return where engines are kept: the service's state folder, which systemd names, or the user's cache."""
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state) / "engines"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-nat" / "engines"


class EngineCache:
    """The engines in one folder.

    Parameters
    ----------
    folder : is made when it is not there, for this user alone

    Raises
    ------
    BundleError
        When the folder cannot be made, or when somebody else may write to it.
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
        """Return the file of a bundle's engine of one precision; a new one takes the place of the old."""
        return self._folder / (_plain(f"{bundle}.{key.precision}") + ".engine")

    def find(self, bundle: str, key: EngineKey) -> bytes | None:
        """Return the engine built for exactly this key, or None when it must be built."""
        try:
            with self.engine_path(bundle, key).open("rb") as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None
                header = msgspec.json.decode(file.readline(_HEADER_LIMIT), type=_Header)
                engine = file.read()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        whole = hashlib.sha256(engine).hexdigest() == header.sha256
        return engine if whole and header.key == key else None

    def store(self, bundle: str, key: EngineKey, engine: bytes) -> Path:
        """Write an engine, whole or not at all, and return its path."""
        header = _Header(key, hashlib.sha256(engine).hexdigest())
        path = self.engine_path(bundle, key)
        _write(path, msgspec.json.encode(header) + b"\n" + engine)
        return path

    def timings(self, key: EngineKey) -> bytes:
        """Return TensorRT's timing cache for this GPU and version; empty when there is none."""
        try:
            return self._timing_path(key).read_bytes()
        except OSError:
            return b""

    def store_timings(self, key: EngineKey, timings: bytes) -> None:
        """Keep TensorRT's timing cache."""
        _write(self._timing_path(key), timings)

    def _timing_path(self, key: EngineKey) -> Path:
        return self._folder / (_plain(f"{key.gpu.name}.{key.gpu.compute_capability}.{key.tensorrt}") + ".timing")


def _plain(name: str) -> str:
    """Return a name that is a plain file name; two that become the same share a file, which `EngineKey` tells apart."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", name)


def _write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises
    ------
    BundleError
        When it cannot be written.
    """
    try:
        write_atomic(path, content)
    except OSError as exc:
        raise BundleError(f"{path}: cannot be written: {exc.strerror}") from exc
