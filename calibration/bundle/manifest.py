"""Writes the manifest of a bundle with the hashes of all other files."""

from pathlib import Path

import msgspec

from edge.bundle.manifest import MANIFEST, SIGNATURE, Manifest, sha256_of


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write `manifest.json` with the hash of every other file of the folder, and return it.

    A signature is removed, because it belongs to the manifest before.
    """
    (folder / SIGNATURE).unlink(missing_ok=True)
    # The manifest cannot contain its own hash. Sorted, so that the same files give the same manifest.
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    whole = msgspec.structs.replace(manifest, files={name: sha256_of(folder / name) for name in names})
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")
    return whole
