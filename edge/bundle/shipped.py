"""The bundles that come with the package, and how a bundle is found by name or path."""

import re
from pathlib import Path

from edge.bundle.manifest import MANIFEST, Bundle, load_bundle, sha256_of
from edge.core.errors import BundleError

BUNDLES = Path(__file__).parents[1] / "bundles"


def find_bundle(name: str) -> Bundle:
    """Load a shipped bundle by its name, or any bundle by its path.

    Raises
    ------
    BundleError
        When there is none, or it does not match its manifest.
    """
    shipped = BUNDLES / name
    if re.fullmatch(r"[a-z][a-z0-9-]*", name) and shipped.is_dir():
        return load_bundle(shipped)
    if Path(name).is_dir():
        return load_bundle(Path(name))
    names = ", ".join(sorted(path.parent.name for path in BUNDLES.glob(f"*/{MANIFEST}"))) or "none"
    raise BundleError(f"no bundle {name!r}: it is neither a folder nor one of the shipped bundles ({names})")


def is_shipped(bundle: Bundle) -> bool:
    """Whether a bundle is one of the shipped ones, or an exact copy."""
    return bundle.sha256 in {sha256_of(path) for path in BUNDLES.glob(f"*/{MANIFEST}")}
