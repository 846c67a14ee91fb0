"""Writes a copy of a bundle whose graph needs almost no CPU time, for soaks that test everything but the graph.

    python scripts/lib/stand_in.py edge/bundles/rhythm OUT

Each probability is a logistic function, with seeded weights, of the logarithm of the window's energy, so that alarms
come and go with the rhythms. It classifies nothing.
"""

import hashlib
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.bundle.manifest import load_bundle
from edge.classifiers.onnx_runtime import OnnxRuntimeClassifier
from edge.core.leads import LEADS


def stand_in_graph(samples: int, labels: int) -> onnx.ModelProto:
    """Return the graph, with the inputs and outputs that every bundle has."""
    weights = 3.0 * np.random.default_rng(0).standard_normal((1, labels))
    constants = {
        "weights": weights.astype(np.float32),
        "bias": np.full((1, labels), -3.0, np.float32),
        "smallest": np.full((1, 1), 1e-6, np.float32),
        "lead": np.array([1], np.int64),
        "lead_and_time": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("ReduceSumSquare", ["signal", "lead_and_time"], ["energies"], keepdims=0),
        helper.make_node("Unsqueeze", ["energies", "lead"], ["energy"]),
        helper.make_node("ReduceSum", ["keep", "lead"], ["leads"], keepdims=1),
        helper.make_node("Div", ["energy", "leads"], ["mean"]),
        helper.make_node("Add", ["mean", "smallest"], ["positive"]),
        helper.make_node("Log", ["positive"], ["level"]),
        helper.make_node("MatMul", ["level", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
    ]
    inputs = {"signal": ["batch", len(LEADS), samples], "keep": ["batch", len(LEADS)]}
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", labels])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def main(like: Path, out: Path) -> None:
    """Write the bundle."""
    bundle = load_bundle(like)
    manifest, golden = bundle.manifest, bundle.golden()
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(stand_in_graph(manifest.input.window_samples, len(manifest.labels)), out / "model.onnx")
    fields = {"name": "stand-in", "graphs": {"fp32": "model.onnx"}, "golden_tolerances": {}, "beats": None}
    draft = msgspec.structs.replace(bundle, path=out, manifest=msgspec.structs.replace(manifest, **fields))
    with OnnxRuntimeClassifier(draft, "fp32", 1) as classifier:
        outputs = classifier.classify(golden.signal, golden.keep)
    np.savez(out / "golden.npz", signal=golden.signal, keep=golden.keep, probabilities=outputs)
    files = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("model.onnx", "golden.npz")}
    whole = msgspec.structs.replace(draft.manifest, files=files)
    (out / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(whole)))
    load_bundle(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
