"""TensorRT when it can serve, ONNX Runtime until then: never silently, and never without a classifier.

    engine in the cache ──────────────────────► TensorRT
    engine to be built ──► ONNX Runtime ──built, proven──► TensorRT ──fails──► ONNX Runtime
    no TensorRT, no GPU ──► ONNX Runtime

ONNX Runtime runs the fp32 graph, which every bundle has, and stays open, so that it can take over at once.
Knows nothing of CUDA.
"""

import logging
import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.classifiers.base import Classifier, ClassifierConfig, Serving, Tell, proven
from edge.classifiers.engine_cache import EngineCache, EngineKey, default_folder
from edge.classifiers.onnx_runtime import OnnxRuntimeClassifier
from edge.classifiers.tensorrt_runtime import TensorRtClassifier, engine_key, find_or_build
from edge.core.errors import BundleError

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOG = logging.getLogger(__name__)
_PRECISION = "fp32"  # of the graph that ONNX Runtime runs
_STOP_S = 10.0  # how long closing waits for a build to stop


class FallbackClassifier:
    """A classifier that is there from the beginning, and gets faster when TensorRT is ready.

    Parameters
    ----------
    bundle : a verified bundle
    config : what is wanted of TensorRT, and the threads of ONNX Runtime
    tell : hears which back end serves, and why not the other

    Raises
    ------
    BundleError
        When not even ONNX Runtime can serve, or the bundle has no graph of the wanted precision.
    """

    def __init__(self, bundle: Bundle, config: ClassifierConfig, tell: Tell) -> None:
        bundle.graph(config.precision)
        self._bundle = bundle
        self._config = config
        self._tell = tell
        self._fast: Classifier | None = None
        self._builder: _Builder | None = None
        self._sure = proven(OnnxRuntimeClassifier(bundle, _PRECISION, config.threads), bundle, _PRECISION)
        try:
            key = engine_key(bundle, config.precision, config.max_batch)
            cache = EngineCache(default_folder())
            engine = cache.find(bundle.manifest.name, key)
        except BundleError as exc:
            self._stay(exc)
            return
        if engine is not None:
            self._switch(engine)
            return
        tell(Serving("onnxruntime", _PRECISION, f"while the TensorRT engine for {config.precision} is built"))
        self._builder = _Builder(bundle, key, cache)
        self._builder.start()

    def classify(self, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (batch, labels) probabilities; see `Classifier.classify`."""
        if self._builder is not None and not self._builder.is_alive():
            self._take_engine(self._builder)
        if self._fast is not None:
            try:
                return self._fast.classify(signal, keep)
            except BundleError as exc:
                self._fast.close()
                self._fast = None
                self._stay(exc)
        return self._sure.classify(signal, keep)

    def _take_engine(self, builder: "_Builder") -> None:
        self._builder = None
        if builder.failure is not None:
            self._stay(builder.failure)
        else:
            self._switch(builder.engine)

    def _switch(self, engine: bytes) -> None:
        """Open TensorRT in this thread; when it does not prove itself, stay with what serves."""
        try:
            fast = TensorRtClassifier(self._bundle, engine, self._config.max_batch)
            self._fast = proven(fast, self._bundle, self._config.precision)
        except BundleError as exc:
            self._stay(exc)
        else:
            _LOG.info("TensorRT serves, %s", self._config.precision)
            self._tell(Serving("tensorrt", self._config.precision))

    def _stay(self, why: BundleError) -> None:
        _LOG.warning("ONNX Runtime serves instead of TensorRT: %s", why)
        self._tell(Serving("onnxruntime", _PRECISION, f"instead of tensorrt {self._config.precision}: {why}"))

    def close(self) -> None:
        """Stop a build, and let go of both back ends."""
        if self._builder is not None:
            self._builder.stop(_STOP_S)
            self._builder = None
        if self._fast is not None:
            self._fast.close()
            self._fast = None
        self._sure.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Builder(threading.Thread):
    """Builds one engine; when the thread has ended, it has either `engine` or `failure`."""

    def __init__(self, bundle: Bundle, key: EngineKey, cache: EngineCache) -> None:
        super().__init__(name="engine-builder", daemon=True)
        self.engine = b""
        self.failure: BundleError | None = None
        self._bundle, self._key, self._cache = bundle, key, cache
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            self.engine, _ = find_or_build(self._bundle, self._key, self._cache, self._go_on)
        except BundleError as exc:
            self.failure = exc

    def stop(self, timeout_s: float) -> None:
        self._stopping.set()
        self.join(timeout_s)
        if self.is_alive():
            _LOG.warning("TensorRT still builds an engine; it is left behind")

    def _go_on(self, _phase: str, _done: int, _steps: int) -> bool:
        return not self._stopping.is_set()
