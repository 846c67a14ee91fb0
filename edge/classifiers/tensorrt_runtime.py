"""The TensorRT back end: finds or builds its engine, and runs it through buffers that are allocated once.

The only module that imports pycuda. An open classifier keeps the device's primary CUDA context, which TensorRT uses
too, current in the thread that opened it, until it is closed in that thread.

**Not yet run on a GPU**: names and arguments are checked against pycuda's source, the logic against stand-ins.
"""

import logging
import traceback
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Bundle
from edge.classifiers import tensorrt_engine
from edge.classifiers.engine_cache import EngineCache, EngineKey, Gpu, default_folder
from edge.core.errors import BundleError
from edge.core.leads import LEADS

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOG = logging.getLogger(__name__)
_DEVICE = 0  # a Jetson has one


def find_gpu() -> Gpu:
    """Return the GPU.

    Raises
    ------
    BundleError
        When pycuda, the driver or a GPU is missing.
    """
    try:
        import pycuda.driver as cuda
    except (ImportError, OSError) as exc:
        raise BundleError(f"pycuda cannot be imported ({exc}); see docs/how-to/jetson.md") from exc
    try:
        cuda.init()
        if cuda.Device.count() <= _DEVICE:
            raise BundleError("no GPU: CUDA finds no device")
        device = cuda.Device(_DEVICE)
        major, minor = device.compute_capability()
        return Gpu(device.name(), f"{major}.{minor}")
    except cuda.Error as exc:
        raise BundleError(f"no GPU: CUDA says {exc}") from exc


def memory_used() -> int:
    """Return the bytes of GPU memory in use by all programs; on a Jetson the CPU uses the same memory."""
    find_gpu()
    import pycuda.driver as cuda

    try:
        context = cuda.Device(_DEVICE).retain_primary_context()
        context.push()
        free, total = cuda.mem_get_info()
        context.detach()
    except cuda.Error as exc:
        raise BundleError(f"the GPU cannot be used: {exc}") from exc
    return int(total - free)


def engine_key(bundle: Bundle, precision: str, max_batch: int) -> EngineKey:
    """Return the key of an engine for this bundle on this device; raise BundleError as `find_gpu` does."""
    graph = bundle.graph(precision)
    return EngineKey(
        graph_sha256=bundle.manifest.files[graph.name],  # verified when the bundle was loaded
        tensorrt=tensorrt_engine.version(),
        gpu=find_gpu(),
        precision=precision,
        max_batch=max_batch,
    )


def find_or_build(
    bundle: Bundle, key: EngineKey, cache: EngineCache, progress: tensorrt_engine.BuildProgress
) -> tuple[bytes, bool]:
    """Return the engine and whether it was built just now; may run in any thread.

    Raises
    ------
    BundleError
        When it cannot be built or stored.
    """
    engine = cache.find(bundle.manifest.name, key)
    if engine is not None:
        return engine, False
    _LOG.info("building a TensorRT engine: %s, %s, %s", bundle.manifest.name, key.precision, key.gpu.name)
    built = tensorrt_engine.build(bundle.graph(key.precision), key.max_batch, cache.timing_cache(key), progress)
    cache.store(bundle.manifest.name, key, built.engine)
    cache.store_timing_cache(key, built.timing_cache)
    return built.engine, True


def open_tensorrt(bundle: Bundle, precision: str, max_batch: int) -> "TensorRtClassifier":
    """Find or build the engine, which may take minutes, and open it; raise BundleError when that is not possible."""
    key = engine_key(bundle, precision, max_batch)
    engine, _ = find_or_build(bundle, key, EngineCache(default_folder()), lambda _phase, _done, _steps: True)
    return TensorRtClassifier(bundle, engine, max_batch)


class TensorRtClassifier:
    """Runs an engine. Open, use and close it in one thread.

    Parameters
    ----------
    bundle : the bundle that the engine was built from
    engine : as `find_or_build` returns it
    max_batch : the batch that it was built for; a larger batch is run in pieces

    Raises
    ------
    BundleError
        When the device has no memory for it, or the engine does not fit the bundle.
    """

    def __init__(self, bundle: Bundle, engine: bytes, max_batch: int) -> None:
        find_gpu()
        import pycuda.driver as cuda

        self._bundle = bundle
        self._max_batch = max_batch
        self._batch = 0  # rows of the last run
        self._engine: tensorrt_engine.LoadedEngine | None = None
        self._host: dict[str, NDArray[np.float32]] = {}  # pinned, (max_batch, ...) each
        self._device: dict[str, cuda.DeviceAllocation] = {}
        self._stream: cuda.Stream | None = None
        try:
            self._cuda_context: cuda.Context | None = cuda.Device(_DEVICE).retain_primary_context()
            self._cuda_context.push()
        except cuda.Error as exc:
            raise BundleError(f"the GPU cannot be used: {exc}") from exc
        try:
            self._engine = tensorrt_engine.load_engine(engine, bundle, max_batch)
            self._stream = cuda.Stream()
            self._allocate(self._engine)
        except (BundleError, cuda.Error) as exc:
            traceback.clear_frames(
                exc.__traceback__
            )  # the frames hold TensorRT's objects, which must go before the context
            self.close()
            if isinstance(exc, BundleError):
                raise
            raise BundleError(f"the GPU has no memory for the engine: {exc}") from exc

    def _allocate(self, engine: tensorrt_engine.LoadedEngine) -> None:
        """Allocate pinned and device memory for the largest batch, and give its addresses to the engine."""
        import pycuda.driver as cuda

        spec = self._bundle.manifest.input
        labels = len(self._bundle.manifest.labels)
        shapes = {"signal": (len(LEADS), spec.window_samples), "keep": (len(LEADS),), "probabilities": (labels,)}
        for name, shape in shapes.items():
            self._host[name] = cuda.pagelocked_empty((self._max_batch, *shape), np.float32)
            self._device[name] = cuda.mem_alloc(self._host[name].nbytes)
            if not engine.context.set_tensor_address(name, int(self._device[name])):
                raise BundleError(f"TensorRT does not take the memory for {name}; the log has its reason")

    def classify(self, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (batch, labels) probabilities; see `Classifier.classify`.

        Raises
        ------
        BundleError
            When CUDA or TensorRT fails.
        """
        # Copied, since the next batch overwrites the pinned buffer.
        outputs = np.empty((len(signal), len(self._bundle.manifest.labels)), np.float32)
        for first in range(0, len(signal), self._max_batch):
            piece = slice(first, first + self._max_batch)
            outputs[piece] = self._run(signal[piece], keep[piece])
        return outputs

    def _run(self, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one batch of `max_batch` rows at most; the result is a view of the pinned buffer."""
        import pycuda.driver as cuda

        if self._engine is None or self._stream is None:
            raise BundleError("the classifier is closed")
        engine, rows = self._engine, len(signal)  # no variable for the context: it must not outlive `close`
        try:
            for name, values in (("signal", signal), ("keep", keep)):
                self._host[name][:rows] = values
                # TensorRT must prepare itself for a new shape, so it is set only when the batch changes.
                if rows != self._batch and not engine.context.set_input_shape(name, values.shape):
                    raise BundleError(f"TensorRT does not take {name} of shape {values.shape}")
                cuda.memcpy_htod_async(self._device[name], self._host[name][:rows], self._stream)
            self._batch = rows
            if not engine.context.execute_async_v3(self._stream.handle):
                raise BundleError("TensorRT did not run the engine; the log has its reason")
            output = self._host["probabilities"][:rows]
            cuda.memcpy_dtoh_async(output, self._device["probabilities"], self._stream)
            self._stream.synchronize()
        except cuda.Error as exc:
            raise BundleError(f"the GPU failed: {exc}") from exc
        return output

    def close(self) -> None:
        """Free engine, buffers, stream and CUDA context, in the thread that opened them."""
        if self._cuda_context is None:
            return
        import pycuda.driver as cuda

        try:
            if self._stream is not None:
                self._stream.synchronize()
        except cuda.Error as exc:
            _LOG.warning("the GPU failed before it was closed: %s", exc)
        if self._engine is not None:
            del self._engine.context  # in this order: each uses memory of the next
            del self._engine.engine
            del self._engine.runtime
            self._engine = None
        try:
            for allocation in self._device.values():
                allocation.free()
            self._device.clear()
            self._host.clear()
            self._stream = None
            self._cuda_context.detach()  # which also makes it no longer current
        except cuda.Error as exc:
            _LOG.warning("the GPU could not be closed: %s", exc)
        self._cuda_context = None

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
