"""Makes the four graphs of a bundle from its FP32 graph: fp32, fp16, int8 for CPUs, int8 in fp16 for TensorRT.

The bundle records how: `calibration_records.json` lists the windows that gave the ranges; `quantization.json` has the
ranges, each layer's sensitivity, and what stays wider than int8 and why.
"""

import json
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx

from calibration.bundle.manifest import write_manifest
from calibration.errors import CalibrationError
from calibration.export.graph import arrange_gelu, open_graph, strip
from calibration.export.graph_check import check_graph
from calibration.held_out.windows import CHOOSING, load_windows, run_windows
from calibration.quantization import calibration_set, qdq, sensitivity
from calibration.quantization.calibration_set import CalibrationSet
from calibration.quantization.half import FLOAT32_KINDS, to_half
from calibration.quantization.qdq import Layer
from calibration.quantization.ranges import METHODS, Histogram, Method
from calibration.quantization.sensitivity import Mixture
from edge.bundle.manifest import MAX_GOLDEN_TOLERANCE, Bundle, Manifest, load_bundle
from edge.classifiers.base import GOLDEN_TOLERANCE
from training.data.reporting import ReportLine, ReportProgress

RECORDS = "calibration_records.json"
QUANTIZATION = "quantization.json"
GRAPHS = {
    "fp32": "model.onnx",
    "fp16": "model.fp16.onnx",
    "int8": "model.int8.onnx",
    "int8_fp16": "model.int8-fp16.onnx",
}
_PROBE = 64  # calibration windows for the scan of layers, evenly spread
_BARS = 64  # of the histograms in `quantization.json`
_GOLDEN_FACTOR = 3.0  # int8 kernels of other machines may differ from the golden outputs by this factor more than here


@dataclass(frozen=True)
class QuantizeSetup:
    """What to quantize, and how."""

    source: Path  # folder of a bundle with an FP32 graph
    data: Path  # folder of the data sets
    out: Path  # folder of the new bundle; may be the same
    method: Method | None  # of the ranges; None: for each layer the one that changes the logits least
    count: int  # windows of the calibration set
    seed: int  # of their draw


def quantize(setup: QuantizeSetup, report: ReportLine, progress: ReportProgress) -> Manifest:
    """Write a bundle with all four graphs and report each figure as it is measured.

    Raises
    ------
    CalibrationError
        When the graph has no layer to quantize.
    TrainingError, EdgeError
        When bundle or data cannot be used.
    """
    bundle = load_bundle(setup.source)
    model = arrange_gelu(strip(onnx.load(bundle.graph("fp32"))))
    layers = [layer for layer in qdq.find_layers(model) if _reason_to_skip(layer) is None]
    if not layers:
        raise CalibrationError(f"{setup.source}: its graph has no layer to quantize")
    drawn = calibration_set.draw(setup.data, bundle.manifest.input, setup.count, setup.seed)
    report(f"{len(drawn.records)} calibration windows of {len({r['record'] for r in drawn.records})} training records")
    bare = qdq.split_biases(model)  # the form that CPUs run in int8, on which everything is measured
    ranges = _ranges(bare, layers, drawn, setup.method, report, progress)
    mixture = _mixture(bundle, bare, layers, ranges, setup.data, progress)
    report(
        f"{len(mixture.quantized)} layers int8, {len(mixture.kept)} kept in float for accuracy; validation windows "
        f"lose {mixture.loss.auc:.4f} macro AUC, {mixture.loss.label_auc:.4f} on the worst label, "
        f"{mixture.loss.flips:.2%} change an alarm's decision"
    )
    graphs = {
        "fp32": model,
        "fp16": to_half(model),
        "int8": qdq.insert(bare, mixture.quantized, ranges.limits),
        # For TensorRT, which fuses a bias into the int8 convolution: so the graph with its biases.
        "int8_fp16": to_half(qdq.insert(model, mixture.quantized, ranges.limits)),
    }
    _check_graphs(setup.source, graphs)
    tolerances = _tolerances(bundle, graphs, report)
    _copy(bundle, setup.out)
    for precision, graph in graphs.items():
        (setup.out / GRAPHS[precision]).write_bytes(graph.SerializeToString())
        report(f"{precision:10s} {(setup.out / GRAPHS[precision]).stat().st_size / 1e6:.1f} MB")
    _write_json(setup.out / RECORDS, {"seed": setup.seed, "windows": drawn.records})
    _write_json(setup.out / QUANTIZATION, _record(model, layers, ranges, mixture))
    manifest = msgspec.structs.replace(bundle.manifest, graphs=dict(GRAPHS), golden_tolerances=tolerances)
    return write_manifest(setup.out, manifest)


def _check_graphs(source: Path, graphs: dict[str, onnx.ModelProto]) -> None:
    for precision, graph in graphs.items():
        if faults := check_graph(graph):
            raise CalibrationError(f"{source}: TensorRT would refuse its {precision} graph: {faults[0]}")


@dataclass(frozen=True)
class _Ranges:
    """The ranges by every method on the calibration windows, and the method of each layer."""

    histograms: dict[str, Histogram]  # by tensor
    changes: dict[str, dict[Method, float]]  # of the logits when a layer alone is int8; by node
    methods: dict[str, Method]  # by tensor
    limits: dict[str, float]  # by tensor
    errors: dict[str, float]  # change of the logits when all layers are int8; by method, and with each layer's best

    @property
    def least(self) -> dict[str, float]:
        """Change of the logits with each layer's best method."""
        return {node: min(by_method.values()) for node, by_method in self.changes.items()}


def _ranges(
    bare: onnx.ModelProto,
    layers: list[Layer],
    drawn: CalibrationSet,
    method: Method | None,
    report: ReportLine,
    progress: ReportProgress,
) -> _Ranges:
    progress("ranges", 0, 1)
    found = sensitivity.histograms(bare, qdq.ranged_tensors(bare, layers), drawn.signal, drawn.keep)
    tried = METHODS if method is None else (method,)
    by_method = {one: {tensor: histogram.range(one) for tensor, histogram in found.items()} for one in tried}
    # The scan runs a graph for each layer and method, so it uses only some of the windows.
    rows = np.linspace(0, len(drawn.records) - 1, min(_PROBE, len(drawn.records))).astype(int)
    probe = sensitivity.LogitProbe(bare, drawn.signal[rows], drawn.keep[rows])
    changes = probe.scan(layers, by_method, lambda done, total: progress("sensitivity", done, total))
    methods = sensitivity.best_methods(bare, layers, changes)
    limits = {tensor: by_method[chosen][tensor] for tensor, chosen in methods.items()}
    measured: dict[str, float] = {
        name: probe.change(qdq.insert(bare, layers, some))
        for name, some in [*by_method.items(), ("each layer's best", limits)]
    }
    report("RMS change of the logits, all layers int8: " + ", ".join(f"{m} {e:.3f}" for m, e in measured.items()))
    return _Ranges(found, changes, methods, limits, measured)


def _record(model: onnx.ModelProto, layers: list[Layer], ranges: _Ranges, mixture: Mixture) -> dict[str, Any]:
    """Return the content of `quantization.json`."""
    return {
        "logit_change": ranges.errors,
        "layers": [
            asdict(layer) | {"int8": layer in mixture.quantized, "logit_change": ranges.changes[layer.node]}
            for layer in layers
        ],
        "wider": _wider(model, mixture, ranges.least),
        "validation": asdict(mixture.loss),
        "activations": {
            tensor: _summary(histogram, ranges.methods[tensor]) for tensor, histogram in ranges.histograms.items()
        },
    }


def read_quantization(folder: Path) -> dict[str, Any]:
    """Read `quantization.json` of a verified bundle; empty if there is none."""
    path = folder / QUANTIZATION
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def _reason_to_skip(layer: Layer) -> str | None:
    """Return why a layer is never quantized, or None."""
    if layer.kind == "Gemm":
        return "runs once a window: no time to gain, and the keep mask and the decision go through it"
    return None


def _mixture(
    bundle: Bundle,
    bare: onnx.ModelProto,
    layers: list[Layer],
    ranges: _Ranges,
    data: Path,
    progress: ReportProgress,
) -> Mixture:
    windows = load_windows(data, bundle.manifest, CHOOSING, progress)
    progress("mixed precision", 0, 1)
    meter = sensitivity.LossMeter(bundle.manifest, windows, bare)
    return sensitivity.choose_float_layers(bare, layers, ranges.limits, ranges.least, meter)


def _wider(model: onnx.ModelProto, mixture: Mixture, changes: dict[str, float]) -> list[dict[str, Any]]:
    """List the layers and operators that stay wider than int8, with the reason."""
    rows = [
        {"node": layer.node, "name": layer.name, "kind": layer.kind, "why": why}
        for layer in qdq.find_layers(model)
        if (why := _reason_to_skip(layer))
    ]
    rows += [
        {
            "node": layer.node,
            "name": layer.name,
            "kind": layer.kind,
            "why": f"sensitive: alone in int8 it changes the logits by {changes[layer.node]:.3f} RMS",
        }
        for layer in mixture.kept
    ]
    rows += [
        {
            "node": name,
            "name": name,
            "kind": "MatMul",
            "why": "attention: both operands are activations, small products",
        }
        for name in qdq.products_of_activations(model)
    ]
    for kind, number in qdq.count_nodes(model, FLOAT32_KINDS).items():
        why = "float32 in every graph: sums and exponentials that a narrower type loses"
        rows.append({"node": f"{number} nodes", "name": kind, "kind": kind, "why": why})
    return rows


def _summary(histogram: Histogram, chosen: Method) -> dict[str, Any]:
    return {
        "bars": histogram.counts.reshape(_BARS, -1).sum(axis=1).tolist(),
        "limit": histogram.limit,
        "ranges": {method: histogram.range(method) for method in METHODS},
        "method": chosen,
        "scale": qdq.scale_of(histogram.range(chosen)),
    }


def _tolerances(bundle: Bundle, graphs: dict[str, onnx.ModelProto], report: ReportLine) -> dict[str, float]:
    """Measure the difference of each graph from the golden outputs, and allow a multiple of it."""
    golden, allowed = bundle.golden(), {}
    for precision, graph in graphs.items():
        outputs = run_windows(open_graph(graph), golden.signal, golden.keep)
        worst = float(np.abs(outputs - golden.probabilities).max())
        allowed[precision] = max(GOLDEN_TOLERANCE, math.ceil(1e3 * _GOLDEN_FACTOR * worst) / 1e3)
        if not allowed[precision] <= MAX_GOLDEN_TOLERANCE:
            raise CalibrationError(
                f"{bundle.path}: {precision} differs by {worst:.2g} on golden windows, which is too much to ship"
            )
        report(f"{precision:10s} golden windows differ by {worst:.2g} at most, {allowed[precision]:g} allowed")
    return allowed


def _copy(bundle: Bundle, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if bundle.path.resolve() != out.resolve():
        for name in bundle.manifest.files:
            shutil.copyfile(bundle.path / name, out / name)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
