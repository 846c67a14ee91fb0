"""The ONNX Runtime back end, on the CPU."""

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.core.errors import BundleError
from edge.core.leads import LEADS

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11


class OnnxRuntimeClassifier:
    """Runs a graph of a bundle on ONNX Runtime.

    Parameters
    ----------
    bundle : a verified bundle
    precision : which of its graphs
    threads : threads that one run may use

    Raises
    ------
    BundleError
        When the graph cannot be loaded, or its inputs and outputs do not match the manifest.
    """

    def __init__(self, bundle: Bundle, precision: str, threads: int) -> None:
        path = bundle.graph(precision)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        # Spinning threads answer a little sooner, and burn a core between two windows.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # ONNX Runtime's errors have no common base but Exception
            reason = str(exc).splitlines()[0]
            raise BundleError(f"{path}: ONNX Runtime {ort.__version__} cannot load the graph: {reason}") from exc
        self._check(bundle)

    def _check(self, bundle: Bundle) -> None:
        spec = bundle.manifest.input
        inputs = {item.name: item.shape[1:] for item in self._session.get_inputs()}
        outputs = {item.name: item.shape[1:] for item in self._session.get_outputs()}
        expected_inputs = {"signal": [len(LEADS), spec.window_samples], "keep": [len(LEADS)]}
        expected_outputs = {"probabilities": [len(bundle.manifest.labels)]}
        if inputs != expected_inputs or outputs != expected_outputs:
            raise BundleError(
                f"{bundle.path}: the graph takes {inputs} and gives {outputs}, "
                f"but the manifest says {expected_inputs} and {expected_outputs}"
            )

    def classify(self, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (batch, labels) probabilities; see `Classifier.classify`."""
        outputs: NDArray[np.float32] = self._session.run(["probabilities"], {"signal": signal, "keep": keep})[0]
        return outputs

    def close(self) -> None:
        """Drop the session; its memory is freed with the last reference."""
        if hasattr(self, "_session"):
            del self._session  # it has no `close`

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
