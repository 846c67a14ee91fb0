"""The state folder: the bundles that a service was given while it ran, the latest swap request, and its outcome.

    bundles/<SHA-256>/    a staged bundle, complete
    bundles/current       the last good bundle, which serves after the next start
    bundles/request       what `ecg-edge swap` asks of the service
    bundles/outcome       how far that request has come
    bundles/*.lock        held by the service, and by the one who asks

Each file is written atomically, so that a kill at any instant leaves the old content or the new one.
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
_MAX_BYTES = 64 << 10  # of one of the three files, which have a few hundred
_STAGING = ".staging-"

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
T = TypeVar("T")


class LastGood(msgspec.Struct, frozen=True, kw_only=True):
    """The last good bundle. It serves only while the configuration's `model` is the same as then."""

    sha256: Sha256
    model: str
    before: Sha256 | None = None  # the bundle before it, staged too; it serves again if this one fails later


class SwapRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the service to swap to a staged bundle."""

    id: str
    sha256: Sha256
    model: str  # of the configuration

    @classmethod
    def of(cls, bundle: Bundle, model: str) -> "SwapRequest":
        """Return a request for a bundle, with a new id."""
        return cls(id=uuid.uuid4().hex, sha256=bundle.sha256, model=model)


_FILES: dict[type, str] = {LastGood: "current", SwapRequest: "request", Outcome: "outcome"}


class BundleStore:
    """The bundles in a state folder.

    Raises
    ------
    ConfigError
        When the folder does not exist, or cannot be written to.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self._folder = state / "bundles"
        if not state.is_dir():
            raise ConfigError(f"state {state}: there is no such folder; create it, or set another one")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._give_to_owner(self._folder)
        except OSError as exc:
            raise ConfigError(f"state {state}: {exc.strerror}; run this as root, or as the service's user") from exc

    def path(self, sha256: str) -> Path:
        """Return the folder of a staged bundle; its name is the hash of the manifest."""
        return self._folder / sha256

    def stage(self, bundle: Bundle) -> Bundle:
        """Copy a bundle's files, synced to the disk, and return the copy.

        Raises
        ------
        BundleError
            When it cannot be copied, or changed meanwhile.
        """
        target = self.path(bundle.sha256)
        with contextlib.suppress(BundleError):
            return self.load(bundle.sha256)
        # Copied to a scratch folder and renamed, so that a kill leaves no incomplete bundle under its hash.
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._folder))
        try:
            for name in (*bundle.manifest.files, MANIFEST, SIGNATURE):
                if (bundle.path / name).is_file():
                    write_atomic(staging / name, (bundle.path / name).read_bytes())
                    self._give_to_owner(staging / name)
            self._give_to_owner(staging)
            shutil.rmtree(target, ignore_errors=True)  # a damaged copy; a good one was returned above
            staging.rename(target)
            sync_folder(self._folder)
        except OSError as exc:
            shutil.rmtree(staging, ignore_errors=True)
            raise BundleError(f"{bundle.path}: cannot be copied to {target}: {exc.strerror}") from exc
        return self.load(bundle.sha256)

    def load(self, sha256: str) -> Bundle:
        """Load a staged bundle and verify it, or raise BundleError."""
        bundle = load_bundle(self.path(sha256))
        if bundle.sha256 != sha256:
            raise BundleError(f"{bundle.path}: its manifest has changed since it was staged; swap it in again")
        return bundle

    def prune(self) -> None:
        """Delete staged bundles that are no longer needed; only for the holder of `asking`."""
        good = self.last_good
        needed = {each.sha256 for each in (good, self.request) if each is not None}
        needed |= {good.before} if good is not None and good.before is not None else set()
        for path in self._folder.iterdir():
            if path.is_dir() and path.name not in needed:
                shutil.rmtree(path, ignore_errors=True)

    @property
    def last_good(self) -> LastGood | None:
        """The last good bundle."""
        return self._read(LastGood)

    @property
    def request(self) -> SwapRequest | None:
        """The latest request."""
        return self._read(SwapRequest)

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the latest request that the service has begun with."""
        return self._read(Outcome)

    def write(self, content: LastGood | SwapRequest | Outcome) -> None:
        """Replace one of the three files, or raise OSError."""
        path = self._folder / _FILES[type(content)]
        write_atomic(path, msgspec.json.encode(content) + b"\n")
        self._give_to_owner(path)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Hold the lock of the service that handles requests; ConfigError when another service holds it."""
        with self._lock("serving.lock") as locked:
            if not locked:
                raise ConfigError(f"state {self.state}: another service uses it; give each its own")
            yield

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Hold the lock of the one who asks; BundleError when somebody else does, or no service runs."""
        with self._lock("asking.lock") as locked:
            if not locked:
                raise BundleError("another swap is running; wait until it ends")
            # The service holds this lock while it runs, so whoever can take it knows that none does.
            with self._lock("serving.lock") as unused:
                if unused:
                    raise BundleError(
                        f"no service runs with state {self.state}; start the service first, or set the bundle "
                        "as model in the configuration"
                    )
            yield

    @contextmanager
    def _lock(self, name: str) -> Iterator[bool]:
        """Try to take a lock and yield whether that worked; the kernel frees the lock of a killed process."""
        with (self._folder / name).open("ab") as file:
            self._give_to_owner(self._folder / name)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True

    def _read(self, kind: type[T]) -> T | None:
        path = self._folder / _FILES[kind]
        try:
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_BYTES), type=kind)
        except FileNotFoundError:
            return None  # nothing was written yet
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
            _LOG.error("%s: cannot be read: %s", path, exc)
            return None

    def _give_to_owner(self, path: Path) -> None:
        """Give a file that root created to the owner of the state folder, so that the service can use it."""
        if os.geteuid() == 0:
            owner = self.state.stat()
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def store_of(config: ServiceConfig) -> BundleStore | None:
    """Return the store of a configuration, None without `state`; ConfigError where its folder is missing."""
    return None if config.bundle.state is None else BundleStore(Path(config.bundle.state))
