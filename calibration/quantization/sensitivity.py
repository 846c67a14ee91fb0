"""Which layers lose accuracy in int8, and how many of them must stay float.

The scan quantizes one layer at a time with the ranges of each method, and measures the RMS change of the logits. Each
layer gets the method with the least change. Mixed precision then keeps the most sensitive layers in float, more and
more of them, until the loss on validation windows is small.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.export.graph import open_graph
from calibration.held_out import paired
from calibration.held_out.windows import HeldOutWindows, logits, predict_decisions, run_windows
from calibration.quantization import qdq
from calibration.quantization.qdq import Layer
from calibration.quantization.ranges import Histogram, Method
from edge.bundle.manifest import Manifest

MAX_AUC_LOSS = 0.001  # of the macro AUC, of the chosen mixture on validation windows
MAX_LABEL_LOSS = 0.002  # of the AUC of any label with `MIN_POSITIVES` decisions
MAX_FLIPS = 0.0015  # share of the decisions in which any alarm's decision changes
MIN_POSITIVES = 30
_COUNTS = (0, 1, 2, 3, 4, 6, 8, 12)  # of float layers to try; a graph that needs more should be trained for int8


@dataclass(frozen=True)
class Loss:
    """The loss of a quantized graph on labelled windows."""

    auc: float  # macro
    label_auc: float  # of the worst label
    flips: float  # share of the decisions

    def small(self) -> bool:
        """Return whether the loss is acceptable."""
        return self.auc <= MAX_AUC_LOSS and self.label_auc <= MAX_LABEL_LOSS and self.flips <= MAX_FLIPS


@dataclass(frozen=True)
class Mixture:
    """The int8 layers, the layers that stay float for accuracy, and the loss with them."""

    quantized: tuple[Layer, ...]
    kept: tuple[Layer, ...]
    loss: Loss


def histograms(
    model: onnx.ModelProto, tensors: Collection[str], signal: NDArray[np.float32], keep: NDArray[np.float32]
) -> dict[str, Histogram]:
    """Run windows through a float graph, and make histograms of some of its tensors."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    del wide.graph.output[:]
    # ONNX Runtime only returns outputs, so the tensors become outputs of a copy.
    wide.graph.output.extend(onnx.helper.make_tensor_value_info(t, onnx.TensorProto.FLOAT, None) for t in tensors)
    session, found = open_graph(wide), {tensor: Histogram() for tensor in tensors}
    for first in range(0, len(signal), 16):
        rows = slice(first, first + 16)
        for tensor, values in zip(
            tensors, session.run(None, {"signal": signal[rows], "keep": keep[rows]}), strict=True
        ):
            found[tensor].add(values)
    return found


class LogitProbe:
    """Measures the change of a graph's logits from those of a float graph, on a few windows."""

    def __init__(self, model: onnx.ModelProto, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> None:
        self._model, self._windows = model, (signal, keep)
        self._reference = self._logits(model)

    def change(self, model: onnx.ModelProto) -> float:
        """Return the RMS change of the logits."""
        return float(np.sqrt(np.mean((self._logits(model) - self._reference) ** 2)))

    def scan(
        self,
        layers: Collection[Layer],
        limits: Mapping[Method, Mapping[str, float]],
        progress: Callable[[int, int], None],
    ) -> dict[str, dict[Method, float]]:
        """Return the change when a layer alone is int8, by node and by the method of its ranges."""
        changes = {}
        for number, layer in enumerate(layers, 1):
            changes[layer.node] = {
                method: self.change(qdq.insert(self._model, [layer], some)) for method, some in limits.items()
            }
            progress(number, len(layers))
        return changes

    def _logits(self, model: onnx.ModelProto) -> NDArray[np.float64]:
        return logits(run_windows(open_graph(model), *self._windows))


def best_methods(
    model: onnx.ModelProto, layers: Collection[Layer], changes: Mapping[str, Mapping[Method, float]]
) -> dict[str, Method]:
    """Return the best method of each layer, by the tensors whose ranges it needs."""
    methods: dict[str, Method] = {}
    for layer in layers:
        best = min(changes[layer.node], key=lambda method: changes[layer.node][method])
        methods |= dict.fromkeys(qdq.ranged_tensors(model, [layer]), best)
    return methods


def choose_float_layers(
    model: onnx.ModelProto,
    layers: Collection[Layer],
    limits: Mapping[str, float],
    changes: Mapping[str, float],
    measure: Callable[[onnx.ModelProto], Loss],
) -> Mixture:
    """Keep the most sensitive layers in float: as many as needed for a small loss, at most the last of `_COUNTS`."""
    ordered = sorted(layers, key=lambda layer: -changes[layer.node])
    for count in _COUNTS:
        kept = ordered[:count]
        quantized = tuple(layer for layer in layers if layer not in kept)
        loss = measure(qdq.insert(model, quantized, limits))
        if loss.small():
            break
    return Mixture(quantized, tuple(kept), loss)


class LossMeter:
    """Measures the loss of graphs against a reference graph on labelled windows.

    Parameters
    ----------
    manifest : of the bundle that the graphs belong to
    windows : labelled
    reference : the float graph
    """

    def __init__(self, manifest: Manifest, windows: HeldOutWindows, reference: onnx.ModelProto) -> None:
        self._manifest, self._windows = manifest, windows
        self._thresholds, self._alarms = thresholds_and_alarms(manifest)
        self._reference = predict_decisions(open_graph(reference), windows, manifest)
        self._once = np.ones((1, len(windows.first)))  # weights of the sample itself, without resamples
        self._aucs = self._of(self._reference)
        self._frequent = (windows.target & windows.known).sum(axis=0) >= MIN_POSITIVES

    def __call__(self, model: onnx.ModelProto) -> Loss:
        """Return the loss of a graph."""
        scores = predict_decisions(open_graph(model), self._windows, self._manifest)
        lost = self._aucs - self._of(scores)
        return Loss(
            auc=float(np.nanmean(lost)),
            label_auc=float(np.nanmax(lost[self._frequent], initial=0.0)),
            flips=flips(self._reference, scores, self._thresholds, self._alarms),
        )

    def _of(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        aucs: NDArray[np.float64] = paired.aucs(scores, self._windows.target, self._windows.known, self._once)[0]
        return aucs


def thresholds_and_alarms(manifest: Manifest) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the threshold of each label, and whether it has an alarm."""
    thresholds = np.array([label.threshold for label in manifest.labels])
    return thresholds, np.array([label.priority != "none" for label in manifest.labels])


def flips(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    alarms: NDArray[np.bool_],
) -> float:
    """Share of the rows in which any alarm's decision differs; without alarms, share of all labels' decisions."""
    changed = (first >= thresholds) != (second >= thresholds)  # (rows, labels)
    return float(changed[:, alarms].any(axis=1).mean() if alarms.any() else changed.mean())
