"""The bundles of a cross-validation: for each record the one whose network never saw its patient.

    folds.json    {"101": "fold-1", ...}: record to the folder, beside this file, of the bundle that judges it

`ecg-calibrate tune` writes them. Knows nothing of scores.
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
    """Which bundle judges which record."""

    path: Path
    name: BundleRef
    by_record: dict[str, Bundle]

    def of(self, record: str) -> Bundle:
        """Return the bundle that never saw a record, or raise BundleError."""
        try:
            return self.by_record[record]
        except KeyError:
            raise BundleError(f"{self.path}: every fold has seen record {record}, or none is for it") from None


def find_judges(model: str) -> Bundle | FoldBundles:
    """Return the bundles of a cross-validation where a folder holds them, else a bundle by name or folder."""
    return open_folds(Path(model)) if (Path(model) / FOLDS).is_file() else find_bundle(model)


def open_folds(path: Path) -> FoldBundles:
    """Load every bundle of a cross-validation.

    Raises
    ------
    BundleError
        When the list cannot be read, or a bundle is not what its manifest says.
    """
    try:
        raw = (path / FOLDS).read_bytes()
        folders = msgspec.json.decode(raw, type=dict[str, str])
    except (OSError, msgspec.DecodeError) as exc:
        raise BundleError(f"{path / FOLDS}: cannot be read: {exc}") from exc
    if not folders or any(Path(folder).name != folder or folder.startswith(".") for folder in folders.values()):
        raise BundleError(f"{path / FOLDS}: must name a folder beside it for each record")
    bundles = {folder: load_bundle(path / folder) for folder in sorted(set(folders.values()))}
    manifests = [bundle.manifest for bundle in bundles.values()]
    digest = sha256(raw + "".join(bundle.sha256 for bundle in bundles.values()).encode()).hexdigest()
    name = BundleRef(f"{manifests[0].name} out of fold", manifests[0].version, digest)
    return FoldBundles(path, name, {record: bundles[folder] for record, folder in folders.items()})
