"""TensorRT with ONNX Runtime as its fallback: there is always a classifier, and every change of back end is reported.

    engine in the cache ──────────────────────► TensorRT
    engine to be built ──► ONNX Runtime ──built, checked──► TensorRT ──fails──► ONNX Runtime
    no TensorRT, no GPU ──► ONNX Runtime

ONNX Runtime runs the fp32 graph, which every bundle has. It stays open, so that it can take over at once.
"""

import logging
import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.classifiers.base import ActiveBackend, Classifier, ClassifierConfig, OnBackend, checked
from edge.classifiers.engine_cache import EngineCache, EngineKey, default_folder
from edge.classifiers.onnx_runtime import OnnxRuntimeClassifier
from edge.classifiers.tensorrt_runtime import TensorRtClassifier, engine_key, find_or_build
from edge.core.errors import BundleError

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOG = logging.getLogger(__name__)
_PRECISION = "fp32"  # of the graph that ONNX Runtime runs
_STOP_TIMEOUT_S = 10.0  # how long closing waits for a build to stop


class FallbackClassifier:
    """A classifier that starts on ONNX Runtime and changes to TensorRT once that is ready.

    Parameters
    ----------
    bundle : a verified bundle
    config : precision and batch of TensorRT, threads of ONNX Runtime
    on_backend : called with the active back end, now and whenever it changes

    Raises
    ------
    BundleError
        When ONNX Runtime cannot run, or the bundle has no graph of the configured precision.
    """

    def __init__(self, bundle: Bundle, config: ClassifierConfig, on_backend: OnBackend) -> None:
        bundle.graph(config.precision)  # a missing precision is a wrong configuration, not a reason to fall back
        self._bundle = bundle
        self._config = config
        self._on_backend = on_backend
        self._tensorrt: Classifier | None = None
        self._builder: _EngineBuilder | None = None
        self._onnx_runtime = checked(OnnxRuntimeClassifier(bundle, _PRECISION, config.threads), bundle, _PRECISION)
        try:
            key = engine_key(bundle, config.precision, config.max_batch)
            cache = EngineCache(default_folder())
            engine = cache.find(bundle.manifest.name, key)
        except BundleError as exc:
            self._fall_back(exc)
            return
        if engine is not None:
            self._open_tensorrt(engine)
            return
        reason = f"while the TensorRT engine for {config.precision} is built"
        on_backend(ActiveBackend("onnxruntime", _PRECISION, reason))
        self._builder = _EngineBuilder(bundle, key, cache)
        self._builder.start()

    def classify(self, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (batch, labels) probabilities; see `Classifier.classify`."""
        # Looked up here because TensorRT must be opened in this thread, not in the builder's.
        if self._builder is not None and not self._builder.is_alive():
            self._take_engine(self._builder)
        if self._tensorrt is not None:
            try:
                return self._tensorrt.classify(signal, keep)
            except BundleError as exc:
                # A GPU that failed once is not trusted again before the next start.
                self._tensorrt.close()
                self._tensorrt = None
                self._fall_back(exc)
        return self._onnx_runtime.classify(signal, keep)

    def _take_engine(self, builder: "_EngineBuilder") -> None:
        self._builder = None
        if builder.failure is not None:
            self._fall_back(builder.failure)
        else:
            self._open_tensorrt(builder.engine)

    def _open_tensorrt(self, engine: bytes) -> None:
        """Open TensorRT in this thread, which must be the one that uses it; on failure keep ONNX Runtime."""
        try:
            classifier = TensorRtClassifier(self._bundle, engine, self._config.max_batch)
            self._tensorrt = checked(classifier, self._bundle, self._config.precision)
        except BundleError as exc:
            self._fall_back(exc)
        else:
            _LOG.info("TensorRT serves, %s", self._config.precision)
            self._on_backend(ActiveBackend("tensorrt", self._config.precision))

    def _fall_back(self, error: BundleError) -> None:
        _LOG.warning("ONNX Runtime serves instead of TensorRT: %s", error)
        reason = f"instead of tensorrt {self._config.precision}: {error}"
        self._on_backend(ActiveBackend("onnxruntime", _PRECISION, reason))

    def close(self) -> None:
        """Stop a build, and close both back ends."""
        if self._builder is not None:
            self._builder.stop(_STOP_TIMEOUT_S)
            self._builder = None
        if self._tensorrt is not None:
            self._tensorrt.close()
            self._tensorrt = None
        self._onnx_runtime.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _EngineBuilder(threading.Thread):
    """Builds one engine in the background. When the thread has ended, it has either `engine` or `failure`."""

    def __init__(self, bundle: Bundle, key: EngineKey, cache: EngineCache) -> None:
        super().__init__(name="engine-builder", daemon=True)
        self.engine = b""
        self.failure: BundleError | None = None
        self._bundle, self._key, self._cache = bundle, key, cache
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            self.engine, _ = find_or_build(self._bundle, self._key, self._cache, self._may_continue)
        except BundleError as exc:
            self.failure = exc

    def stop(self, timeout_s: float) -> None:
        self._stopping.set()
        self.join(timeout_s)
        if self.is_alive():  # TensorRT asks only between steps, and one step may take long
            _LOG.warning("TensorRT still builds an engine; it is left behind")

    def _may_continue(self, _phase: str, _done: int, _steps: int) -> bool:
        return not self._stopping.is_set()
