"""The bundles that a service was given while it ran, in its state folder, and what was asked and came of it.

    bundles/<SHA-256>/    a bundle, staged whole
    bundles/current       the last good one, which serves at the next start
    bundles/request       what `ecg-edge swap` asks of the service
    bundles/outcome       what came of it
    bundles/*.lock        held by the service, and by the one who asks

Each file is replaced whole, so that a kill at any instant leaves the old one or the new one.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from edge.bundle.manifest import MANIFEST, SIGNATURE, Bundle, load_bundle
from edge.core.errors import BundleError, ConfigError
from edge.core.files import sync_folder, write_atomic
from edge.publish.swap_outcome import Outcome
from edge.service.config import ServiceConfig

_LOG = logging.getLogger(__name__)
_MOST_BYTES = 64 << 10
_STAGING = ".staging-"

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
T = TypeVar("T")


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """The last good bundle; it serves for as long as the configuration's `model` reads as it did then."""

    sha256: Sha256
    model: str
    before: Sha256 | None = None  # that served before it, staged too; serves again if this one fails later


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """That a staged bundle take over."""

    id: str
    sha256: Sha256
    model: str  # of the configuration

    @classmethod
    def of(cls, bundle: Bundle, model: str) -> "Request":
        """Ask for a bundle, under a new id."""
        return cls(id=uuid.uuid4().hex, sha256=bundle.sha256, model=model)


class BundleStore:
    """The bundles below a state folder.

    Raises
    ------
    ConfigError
        When the folder is not there, or cannot be written to.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self._folder = state / "bundles"
        if not state.is_dir():
            raise ConfigError(f"state {state}: there is no such folder; create it, or name another one")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._hand_over(self._folder)
        except OSError as exc:
            raise ConfigError(f"state {state}: {exc.strerror}; run this as root, or as the service's user") from exc

    def path(self, sha256: str) -> Path:
        """Return the folder of a staged bundle, named by the hash of its manifest."""
        return self._folder / sha256

    def stage(self, bundle: Bundle) -> Bundle:
        """Copy a bundle's files, on disk when this returns, and return the copy.

        Raises
        ------
        BundleError
            When it cannot be copied, or changed meanwhile.
        """
        place = self.path(bundle.sha256)
        with contextlib.suppress(BundleError):
            return self.load(bundle.sha256)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._folder))
        try:
            for name in (*bundle.manifest.files, MANIFEST, SIGNATURE):
                if (bundle.path / name).is_file():
                    write_atomic(staging / name, (bundle.path / name).read_bytes())
                    self._hand_over(staging / name)
            self._hand_over(staging)
            shutil.rmtree(place, ignore_errors=True)  # damaged, or it was loaded above
            staging.rename(place)
            sync_folder(self._folder)
        except OSError as exc:
            shutil.rmtree(staging, ignore_errors=True)
            raise BundleError(f"{bundle.path}: cannot be copied to {place}: {exc.strerror}") from exc
        return self.load(bundle.sha256)

    def load(self, sha256: str) -> Bundle:
        """Load a staged bundle and verify it, or raise BundleError."""
        bundle = load_bundle(self.path(sha256))
        if bundle.sha256 != sha256:
            raise BundleError(f"{bundle.path}: its manifest is not the one that was staged; swap it in again")
        return bundle

    def prune(self) -> None:
        """Delete what was staged and is neither the last good one nor asked for; for the holder of `asking`."""
        current = self.current
        wanted = {each.sha256 for each in (current, self.request) if each is not None}
        wanted |= {current.before} if current is not None and current.before is not None else set()
        for path in self._folder.iterdir():
            if path.is_dir() and path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)

    @property
    def current(self) -> Current | None:
        """The last good bundle."""
        return self._read("current", Current)

    @property
    def request(self) -> Request | None:
        """What was asked last."""
        return self._read("request", Request)

    @property
    def outcome(self) -> Outcome | None:
        """What came of it."""
        return self._read("outcome", Outcome)

    def put(self, what: Current | Request | Outcome) -> None:
        """Replace one of the three, or raise OSError."""
        path = self._folder / type(what).__name__.lower()
        write_atomic(path, msgspec.json.encode(what) + b"\n")
        self._hand_over(path)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Say, while it lasts, that a service looks after requests; ConfigError when another one does."""
        with self._lock("serving.lock") as mine:
            if not mine:
                raise ConfigError(f"state {self.state}: another service uses it; give each its own")
            yield

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Be the one who asks; BundleError when somebody else does, or no service would hear it."""
        with self._lock("asking.lock") as mine:
            if not mine:
                raise BundleError("another swap is under way; wait for its end")
            with self._lock("serving.lock") as nobody:
                if nobody:
                    raise BundleError(
                        f"no service runs with state {self.state}; name the bundle as model in the "
                        "configuration, or start the service first"
                    )
            yield

    @contextmanager
    def _lock(self, name: str) -> Iterator[bool]:
        """Try to take a lock, which a killed process lets go of; say whether it is ours."""
        with (self._folder / name).open("ab") as file:
            self._hand_over(self._folder / name)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            with (self._folder / name).open("rb") as file:
                return msgspec.json.decode(file.read(_MOST_BYTES), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
            _LOG.error("%s: cannot be read: %s", self._folder / name, exc)
            return None

    def _hand_over(self, path: Path) -> None:
        """Give what root made to the user whose folder it is."""
        if os.geteuid() == 0:
            owner = self.state.stat()
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def store_of(config: ServiceConfig) -> BundleStore | None:
    """Return the store that a configuration asks for; ConfigError where its folder is missing."""
    return None if config.bundle.state is None else BundleStore(Path(config.bundle.state))
