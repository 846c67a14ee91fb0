"""What commands that write bundles share: the manifest with its hashes, and graphs without traces of the machine."""

from pathlib import Path

import msgspec
import onnx

from edge.bundle import MANIFEST, Manifest, sha256_of

_KEPT = ("pkg.torch.onnx.name_scopes",)  # which module a node comes from; the rest names files and lines


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write `manifest.json` with the hash of every other file of the folder, and return it."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    whole = msgspec.structs.replace(manifest, files={name: sha256_of(folder / name) for name in names})
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")
    return whole


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove, in place, what torch's exporter notes about the machine it ran on: stack traces with paths."""
    del model.metadata_props[:]
    graph = model.graph
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        kept = [prop for prop in item.metadata_props if prop.key in _KEPT]
        del item.metadata_props[:]
        item.metadata_props.extend(kept)
        if hasattr(item, "doc_string"):
            item.doc_string = ""
    return model
