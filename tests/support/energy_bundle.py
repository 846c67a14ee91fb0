"""A bundle that is small and quick to make, and whose outputs can be computed by hand."""

import hashlib

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.bundle.manifest import SCHEMA_VERSION, InputSpec, Label, Manifest, Pooling

LABELS = (
    Label(abbreviation="SR", name="sinus rhythm"),
    Label(abbreviation="AF", name="atrial fibrillation", priority="medium", threshold=0.5, on_delay_s=2.0),
    Label(abbreviation="VT", name="ventricular tachycardia", priority="high", threshold=0.5),
    Label(abbreviation="NOISE", name="noise", priority="low", kind="technical", threshold=0.5),
)
GAIN = np.array([[-8.0, 8.0, 8.0, 8.0]], np.float32)
BIAS = np.array([[0.4, -0.4, -3.2, -32.0]], np.float32)


def energy_graph(samples, limit=1e9):
    """Return a model whose outputs are sigmoid(gain * mean square of the kept leads + bias); NaN above the limit."""
    constants = [
        numpy_helper.from_array(GAIN, "gain"),
        numpy_helper.from_array(BIAS, "bias"),
        numpy_helper.from_array(np.array([2], np.int64), "time"),
        numpy_helper.from_array(np.array([1], np.int64), "lead"),
        numpy_helper.from_array(np.array([limit], np.float32), "limit"),
        numpy_helper.from_array(np.array([0], np.float32), "zero"),
    ]
    nodes = [
        helper.make_node("Mul", ["signal", "signal"], ["square"]),
        helper.make_node("ReduceMean", ["square", "time"], ["energies"], keepdims=0),
        helper.make_node("ReduceSum", ["energies", "lead"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["keep", "lead"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["energy"]),
        helper.make_node("Mul", ["energy", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["sound"]),
        helper.make_node("Sub", ["limit", "energy"], ["room"]),
        helper.make_node("Sqrt", ["room"], ["root"]),
        helper.make_node("Mul", ["root", "zero"], ["nothing"]),
        helper.make_node("Add", ["sound", "nothing"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
    ]
    inputs = [
        helper.make_tensor_value_info("signal", TensorProto.FLOAT, ["batch", 12, samples]),
        helper.make_tensor_value_info("keep", TensorProto.FLOAT, ["batch", 12]),
    ]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(LABELS)])]
    graph = helper.make_graph(nodes, "energy", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def energy_probabilities(signal, keep):
    """Compute the outputs that the graph must give."""
    energy = np.square(signal).mean(axis=2).sum(axis=1, keepdims=True) / keep.sum(axis=1, keepdims=True)
    return 1 / (1 + np.exp(-(energy * GAIN + BIAS)))


def write_bundle(folder, *, limit=1e9, golden_error=0.0, **changes):
    """Write the bundle with fields of its manifest changed and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = changes.get("input", InputSpec(sample_rate_hz=100, window_s=10, hop_s=1, min_coverage=0.9))
    onnx.save(energy_graph(spec.window_samples, limit), folder / "model.onnx")
    signal = np.random.default_rng(0).standard_normal((3, 12, spec.window_samples)).astype(np.float32)
    keep = np.ones((3, 12), np.float32)
    probabilities = energy_probabilities(signal, keep) + np.float32(golden_error)
    np.savez(folder / "golden.npz", signal=signal, keep=keep, probabilities=probabilities)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name="tiny",
        version="1",
        input=spec,
        pooling=Pooling(),
        labels=LABELS,
        graphs={"fp32": "model.onnx"},
        files={name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "golden.npz")},
    )
    (folder / "manifest.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, **changes)))
    return folder
