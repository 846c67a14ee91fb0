"""The beat network in ONNX Runtime: beats of any streams in one batch, on one thread.

Streams have different numbers of leads; those of a batch are padded to the most, and what is padded is not kept.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.beats.classes import CLASSES, ClassifiedBeat, S
from edge.beats.features import CHANNELS, LENGTH, Described
from edge.beats.session import SmallGraph

INPUTS = ("snippets", "keep", "features")
_GATE, _GATE_AT, _GATE_WIDTH = 4.0, 0.7, 0.1  # what S loses, as log odds, where the intervals look like fibrillation


class BeatClassifier:
    """Classifies described beats.

    Parameters
    ----------
    model : `beats.onnx`, its path or its bytes
    bias : (classes,) added to the logarithm of the probabilities before the class is chosen; none: the likeliest class
    """

    def __init__(self, model: Path | bytes, bias: Sequence[float] | None = None) -> None:
        self._graph = SmallGraph(model)
        self._bias = np.zeros(len(CLASSES)) if bias is None else np.asarray(bias, np.float64)

    def classify(self, beats: Sequence[Described]) -> list[ClassifiedBeat]:
        """Return the classes, in the same order."""
        if not beats:
            return []
        probabilities = gate_supraventricular(
            self.probabilities(beats), np.stack([beat.features for beat in beats])[:, -1]
        )
        chosen = (np.log(np.maximum(probabilities, 1e-9)) + self._bias).argmax(axis=1)
        return [
            ClassifiedBeat(beat.time_s, CLASSES[kind], tuple(row), beat.before_s is not None)
            for beat, kind, row in zip(beats, chosen.tolist(), probabilities.tolist(), strict=True)
        ]

    def probabilities(self, beats: Sequence[Described]) -> NDArray[np.float32]:
        """Return (beats, classes)."""
        leads = max(len(beat.keep) for beat in beats)
        snippets = np.zeros((len(beats), leads, CHANNELS, LENGTH), np.float32)
        keep = np.zeros((len(beats), leads), np.float32)
        for row, beat in enumerate(beats):
            snippets[row, : len(beat.keep)] = beat.snippets
            keep[row, : len(beat.keep)] = beat.keep
        features = np.stack([beat.features for beat in beats])
        return self._graph.run(dict(zip(INPUTS, (snippets, keep, features), strict=True)))


def gate_supraventricular(probabilities: NDArray[np.float32], irregular: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (beats, classes) with less S where the rhythm is atrial fibrillation, whose beats are never early.

    `irregular` is (beats,) the evidence of the intervals, the last of the features.
    """
    loss = _GATE / (1 + np.exp(-(irregular - _GATE_AT) / _GATE_WIDTH))
    gated = probabilities.copy()
    gated[:, S] *= np.exp(-loss)
    result: NDArray[np.float32] = gated / gated.sum(axis=1, keepdims=True)
    return result
