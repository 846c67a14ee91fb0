"""The bundles of a cross-validation: for each record the bundle whose network never saw its patient.

    folds.json    {"101": "fold-1", ...}: record to the folder, beside this file, of its bundle

`ecg-calibrate tune` writes them.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from edge.bundle.manifest import Bundle, BundleRef, load_bundle
from edge.bundle.shipped import find_bundle
from edge.core.errors import BundleError

FOLDS = "folds.json"


@dataclass(frozen=True)
class FoldBundles:
    """Which bundle scores which record."""

    path: Path
    name: BundleRef
    by_record: dict[str, Bundle]

    def for_record(self, record: str) -> Bundle:
        """Return the bundle that never saw a record, or raise BundleError."""
        try:
            return self.by_record[record]
        except KeyError:
            raise BundleError(f"{self.path}: record {record} has no fold, or every fold has seen it") from None


def find_bundle_or_folds(model: str) -> Bundle | FoldBundles:
    """Return the bundles of a cross-validation if `model` is a folder of them, else one bundle by name or folder."""
    return open_folds(Path(model)) if (Path(model) / FOLDS).is_file() else find_bundle(model)


def open_folds(path: Path) -> FoldBundles:
    """Load every bundle of a cross-validation.

    Raises
    ------
    BundleError
        When the list cannot be read, or a bundle does not fit its manifest.
    """
    try:
        raw = (path / FOLDS).read_bytes()
        folders = msgspec.json.decode(raw, type=dict[str, str])
    except (OSError, msgspec.DecodeError) as exc:
        raise BundleError(f"{path / FOLDS}: cannot be read: {exc}") from exc
    # Names only: a list from elsewhere must not load bundles from outside this folder.
    if not folders or any(Path(folder).name != folder or folder.startswith(".") for folder in folders.values()):
        raise BundleError(f"{path / FOLDS}: must give a folder beside it for each record")
    bundles = {folder: load_bundle(path / folder) for folder in sorted(set(folders.values()))}
    manifests = [bundle.manifest for bundle in bundles.values()]
    # The digest covers the list and every bundle, so that a report names exactly what was scored.
    digest = sha256(raw + "".join(bundle.sha256 for bundle in bundles.values()).encode()).hexdigest()
    name = BundleRef(f"{manifests[0].name} out of fold", manifests[0].version, digest)
    return FoldBundles(path, name, {record: bundles[folder] for record, folder in folders.items()})
