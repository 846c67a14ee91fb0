"""Which layers lose accuracy in int8, and how many of them must stay float.

The scan quantizes one layer at a time, with the ranges of each method, and measures the RMS change of the logits: a
layer takes the method that changes them least. Mixed precision then leaves the most sensitive layers in float, more and
more of them, until what is lost on validation windows is small.
Knows graphs and windows; nothing of bundles.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from calibration.held_out import paired
from calibration.held_out import windows as heldout
from calibration.held_out.windows import Windows
from calibration.quantization import qdq
from calibration.quantization.qdq import Layer
from calibration.quantization.ranges import Histogram, Method
from edge.bundle.manifest import Manifest

MOST_AUC = 0.001  # macro AUC that the chosen mixture may lose on validation windows
MOST_LABEL_AUC = 0.002  # and any label with 30 or more windows
MOST_FLIPS = 0.0015  # share of the windows of which any alarm's decision may change
_COUNTS = (0, 1, 2, 3, 4, 6, 8, 12)  # layers that may stay float; a graph that needs more is better trained for int8
FEW = 30


@dataclass(frozen=True)
class Loss:
    """What a quantized graph loses on labelled windows."""

    auc: float  # macro
    label_auc: float  # of the worst label
    flips: float  # share of cases

    def small(self) -> bool:
        """Tell whether mixed precision may stop here."""
        return self.auc <= MOST_AUC and self.label_auc <= MOST_LABEL_AUC and self.flips <= MOST_FLIPS


@dataclass(frozen=True)
class Mixture:
    """Layers that become int8, those that stay float for accuracy, and what the mixture loses."""

    quantized: tuple[Layer, ...]
    kept: tuple[Layer, ...]
    loss: Loss


def open_graph(model: onnx.ModelProto) -> ort.InferenceSession:
    """Open a graph in memory on the CPU, one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def histograms(
    model: onnx.ModelProto, tensors: Collection[str], signal: NDArray[np.float32], keep: NDArray[np.float32]
) -> dict[str, Histogram]:
    """Run windows through a float graph and count the values of some of its tensors."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    del wide.graph.output[:]
    wide.graph.output.extend(onnx.helper.make_tensor_value_info(t, onnx.TensorProto.FLOAT, None) for t in tensors)
    session, found = open_graph(wide), {tensor: Histogram() for tensor in tensors}
    for first in range(0, len(signal), 16):
        rows = slice(first, first + 16)
        for tensor, values in zip(
            tensors, session.run(None, {"signal": signal[rows], "keep": keep[rows]}), strict=True
        ):
            found[tensor].add(values)
    return found


class Probe:
    """Measures how much a graph's logits differ from a float graph's, on a few windows."""

    def __init__(self, model: onnx.ModelProto, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> None:
        self._model, self._windows = model, (signal, keep)
        self._reference = self._logits(model)

    def change(self, model: onnx.ModelProto) -> float:
        """RMS change of the logits."""
        return float(np.sqrt(np.mean((self._logits(model) - self._reference) ** 2)))

    def scan(
        self,
        layers: Collection[Layer],
        limits: Mapping[Method, Mapping[str, float]],
        progress: Callable[[int, int], None],
    ) -> dict[str, dict[Method, float]]:
        """Return for each layer's node and each method's ranges the change when it alone is int8."""
        changes = {}
        for number, layer in enumerate(layers, 1):
            changes[layer.node] = {
                method: self.change(qdq.insert(self._model, [layer], some)) for method, some in limits.items()
            }
            progress(number, len(layers))
        return changes

    def _logits(self, model: onnx.ModelProto) -> NDArray[np.float64]:
        return heldout.logits(heldout.run(open_graph(model), *self._windows))


def best_methods(
    model: onnx.ModelProto, layers: Collection[Layer], changes: Mapping[str, Mapping[Method, float]]
) -> dict[str, Method]:
    """Return for each tensor whose range is needed the method that serves its layer best."""
    methods: dict[str, Method] = {}
    for layer in layers:
        best = min(changes[layer.node], key=lambda method: changes[layer.node][method])
        methods |= dict.fromkeys(qdq.ranged_tensors(model, [layer]), best)
    return methods


def mix(
    model: onnx.ModelProto,
    layers: Collection[Layer],
    limits: Mapping[str, float],
    changes: Mapping[str, float],
    judge: Callable[[onnx.ModelProto], Loss],
) -> Mixture:
    """Keep the most sensitive layers in float, more and more of them, until the loss is small or no more may."""
    ordered = sorted(layers, key=lambda layer: -changes[layer.node])
    for count in _COUNTS:
        kept = ordered[:count]
        quantized = tuple(layer for layer in layers if layer not in kept)
        loss = judge(qdq.insert(model, quantized, limits))
        if loss.small():
            break
    return Mixture(quantized, tuple(kept), loss)


class Judge:
    """Measures the loss of graphs against a reference graph on labelled windows.

    Parameters
    ----------
    manifest : of the bundle that the graphs belong to
    windows : with known labels
    reference : the float graph
    """

    def __init__(self, manifest: Manifest, windows: Windows, reference: onnx.ModelProto) -> None:
        self._manifest, self._windows = manifest, windows
        self._thresholds, self._alarms = decisions(manifest)
        self._reference = heldout.predict(open_graph(reference), windows, manifest)
        self._once = np.ones((1, len(windows.first)))
        self._aucs = self._of(self._reference)
        self._many = (windows.target & windows.known).sum(axis=0) >= FEW

    def __call__(self, model: onnx.ModelProto) -> Loss:
        """Return what a graph loses."""
        scores = heldout.predict(open_graph(model), self._windows, self._manifest)
        lost = self._aucs - self._of(scores)
        return Loss(
            auc=float(np.nanmean(lost)),
            label_auc=float(np.nanmax(lost[self._many], initial=0.0)),
            flips=flips(self._reference, scores, self._thresholds, self._alarms),
        )

    def _of(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        aucs: NDArray[np.float64] = paired.aucs(scores, self._windows.target, self._windows.known, self._once)[0]
        return aucs


def decisions(manifest: Manifest) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return every label's threshold, and which labels alarm."""
    thresholds = np.array([label.threshold for label in manifest.labels])
    return thresholds, np.array([label.priority != "none" for label in manifest.labels])


def flips(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    alarms: NDArray[np.bool_],
) -> float:
    """Share of the cases of which any alarm's decision differs; without alarms, share of all decisions."""
    changed = (first >= thresholds) != (second >= thresholds)
    return float(changed[:, alarms].any(axis=1).mean() if alarms.any() else changed.mean())
