"""The interface of every classifier back end, its configuration, and the check of its outputs on golden windows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.core.errors import BundleError

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

GOLDEN_TOLERANCE = 1e-3  # largest difference in probability that another back end may make by its arithmetic

Backend = Literal["onnxruntime", "tensorrt"]


class ActiveBackend(NamedTuple):
    """Which back end runs which graph. Its text is published in the device's status."""

    backend: Backend
    precision: str
    reason: str = ""  # why it is not the configured one

    def __str__(self) -> str:
        return " ".join((self.backend, self.precision, *(("serves", self.reason) if self.reason else ())))


OnBackend = Callable[[ActiveBackend], None]
"""Called when another back end becomes active, in the classifier's thread."""


class Classifier(Protocol):
    """Runs one graph. Only the thread that opened it may use and close it: a CUDA context belongs to one thread."""

    def classify(self, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (batch, labels) probabilities.

        Parameters
        ----------
        signal : (batch, 12, samples) float32, mV, conditioned; leads that are not kept are zero
        keep : (batch, 12) float32, 1 where the lead is good, else 0
        """

    def close(self) -> None:
        """Free the graph and its memory."""

    def __enter__(self) -> "Self":
        """Return the classifier itself."""

    def __exit__(self, *exc: object) -> None:
        """Close it."""


class ClassifierConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which graph of the bundle runs, and on which back end."""

    backend: Annotated[Backend, Meta(description="Back end that runs the graph: onnxruntime or tensorrt.")] = (
        "onnxruntime"
    )
    precision: Annotated[str, Meta(description="Which graph of the bundle runs, such as fp32, fp16 or int8.")] = "fp32"
    threads: Annotated[int, Meta(description="Threads of ONNX Runtime. 1 to 64.")] = 1
    fallback: Annotated[
        bool,
        Meta(description="Let ONNX Runtime run the fp32 graph while TensorRT cannot run or its engine is being built."),
    ] = True
    max_batch: Annotated[int, Meta(description="Most windows in one batch of a TensorRT engine. 1 to 256.")] = 16

    def __post_init__(self) -> None:
        """Raise ValueError for a number of threads or windows out of range."""
        if not 1 <= self.threads <= 64:
            raise ValueError(f"threads {self.threads}; 1 to 64 are possible")
        if not 1 <= self.max_batch <= 256:
            raise ValueError(f"max_batch {self.max_batch}; 1 to 256 are possible")


ClassifierFactory = Callable[[], Classifier]


def ignore_backend(_active: ActiveBackend) -> None:
    """Do nothing when another back end becomes active."""


def checked(classifier: Classifier, bundle: Bundle, precision: str) -> Classifier:
    """Return the classifier if it passes `check_golden`; else close it and raise BundleError."""
    try:
        check_golden(classifier, bundle, precision)
    except BundleError:
        classifier.close()  # or a GPU would keep its memory
        raise
    return classifier


def check_golden(classifier: Classifier, bundle: Bundle, precision: str = "fp32") -> float:
    """Run the golden windows and return the largest difference in probability.

    The bundle may name a tolerance for the precision; otherwise it is `GOLDEN_TOLERANCE`.

    Raises
    ------
    BundleError
        When the difference is larger than the tolerance.
    """
    golden = bundle.golden()
    outputs = classifier.classify(golden.signal, golden.keep)
    if outputs.shape != golden.probabilities.shape:
        raise BundleError(f"{bundle.path}: golden outputs of shape {golden.probabilities.shape}, not {outputs.shape}")
    largest = float(np.abs(outputs - golden.probabilities).max())
    tolerance = bundle.manifest.golden_tolerances.get(precision, GOLDEN_TOLERANCE)
    if not largest <= tolerance:  # written so that NaN fails too
        raise BundleError(
            f"{bundle.path}: the golden windows give probabilities that differ by {largest:.2g}, more than "
            f"{tolerance:g}; this back end does not reproduce the model, so it is not used"
        )
    return largest
