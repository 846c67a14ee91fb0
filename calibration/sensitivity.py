"""Which layers lose accuracy in int8, and how many of them must stay float.

The scan quantizes one layer at a time and measures the RMS change of the logits. Mixed precision then leaves
the most sensitive layers in float, one more at a time, until what is lost on validation windows is small.
Knows graphs and windows; nothing of bundles.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from calibration import heldout, paired, qdq
from calibration.heldout import Windows
from calibration.qdq import Layer
from calibration.ranges import Histogram

MOST_AUC = 0.001  # macro AUC that the chosen mixture may lose on validation windows
MOST_LABEL_AUC = 0.005  # and any label with 30 or more windows
MOST_FLIPS = 0.003  # share of the windows of which any alarm's decision may change
MOST_FLOAT = 12  # layers; a graph that needs more is better trained for int8
FEW = 30


@dataclass(frozen=True)
class Loss:
    """What a quantized graph loses on labelled windows."""

    auc: float  # macro
    label_auc: float  # of the worst label
    flips: float  # share of windows

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


def change(
    model: onnx.ModelProto, reference: NDArray[np.float32], signal: NDArray[np.float32], keep: NDArray[np.float32]
) -> float:
    """RMS change of the logits from the reference's probabilities."""
    there = heldout.logits(heldout.predict(open_graph(model), signal, keep))
    return float(np.sqrt(np.mean((there - heldout.logits(reference)) ** 2)))


def scan(
    model: onnx.ModelProto,
    layers: Collection[Layer],
    limits: Mapping[str, float],
    probe: tuple[NDArray[np.float32], NDArray[np.float32]],
    progress: Callable[[], None],
) -> dict[str, float]:
    """Return for each layer's node the change of the logits when it alone is int8."""
    reference = heldout.predict(open_graph(model), *probe)
    changes = {}
    for layer in layers:
        changes[layer.node] = change(qdq.insert(model, [layer], limits), reference, *probe)
        progress()
    return changes


def mix(
    model: onnx.ModelProto,
    layers: Collection[Layer],
    limits: Mapping[str, float],
    changes: Mapping[str, float],
    judge: Callable[[onnx.ModelProto], Loss],
) -> Mixture:
    """Keep the most sensitive layers in float, one more at a time, until the loss is small or `MOST_FLOAT` are."""
    ordered = sorted(layers, key=lambda layer: -changes[layer.node])
    for count in range(min(MOST_FLOAT, len(ordered)) + 1):
        kept = ordered[:count]
        quantized = tuple(layer for layer in layers if layer not in kept)
        loss = judge(qdq.insert(model, quantized, limits))
        if loss.small():
            break
    return Mixture(quantized, tuple(kept), loss)


def judge_of(
    windows: Windows, reference: NDArray[np.float32], thresholds: NDArray[np.float64], alarms: NDArray[np.bool_]
) -> Callable[[onnx.ModelProto], Loss]:
    """Return what measures the loss of a graph against the reference's probabilities on labelled windows."""
    once = np.ones((1, len(windows.signal)))
    first = paired.aucs(reference, windows.target, windows.known, once)[0]
    many = (windows.target & windows.known).sum(axis=0) >= FEW

    def judge(model: onnx.ModelProto) -> Loss:
        scores = heldout.predict(open_graph(model), windows.signal, windows.keep)
        lost = first - paired.aucs(scores, windows.target, windows.known, once)[0]
        return Loss(
            auc=float(np.nanmean(lost)),
            label_auc=float(np.nanmax(lost[many], initial=0.0)),
            flips=flips(reference, scores, thresholds, alarms),
        )

    return judge


def flips(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    alarms: NDArray[np.bool_],
) -> float:
    """Share of the windows of which any alarm's decision differs; without alarms, share of all decisions."""
    changed = (first >= thresholds) != (second >= thresholds)
    return float(changed[:, alarms].any(axis=1).mean() if alarms.any() else changed.mean())
