"""Runs a small graph of the bundle in ONNX Runtime on one thread, without telemetry."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import BundleError


class SmallGraph:
    """An ONNX graph with one output.

    Parameters
    ----------
    model : the graph's path or its bytes

    Raises
    ------
    BundleError
        When the graph cannot be loaded.
    """

    def __init__(self, model: Path | bytes) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._name = "a graph" if isinstance(model, bytes) else str(model)
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # ONNX Runtime raises its own kinds, which share no base but this
            raise BundleError(f"{self._name}: cannot be loaded: {exc}") from exc

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the output; BundleError when a value is not a number, as NaN would be over no threshold."""
        (result,) = self._session.run(None, dict(inputs))
        outputs = np.asarray(result, np.float32)
        if not np.isfinite(outputs).all():
            raise BundleError(f"{self._name}: gives outputs that are not numbers")
        return outputs
