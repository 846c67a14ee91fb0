"""Builds TensorRT engines from a bundle's graphs and loads them. The only module that imports tensorrt.

The precision comes from the graph: FP16 from its types, INT8 from its Q/DQ pairs. The network is strongly typed,
without calibrators and precision flags, which TensorRT 11 no longer has. Every name used here exists in 10.3 and in
11.4 (tests/edge/classifiers/test_names.py).

**Not yet run on a GPU**: names, arguments and types are checked against NVIDIA's bindings, the logic against stand-ins.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge.bundle.manifest import Bundle
from edge.core.errors import BundleError
from edge.core.leads import LEADS

if TYPE_CHECKING:
    import tensorrt as trt

_LOG = logging.getLogger(__name__)
WORKSPACE_BYTES = 256 << 20  # scratch memory that a layer may ask for; these networks need a few MiB

BuildProgress = Callable[[str, int, int], bool]
"""Called with phase, steps done and total steps; returns whether to continue the build."""


class BuildResult(NamedTuple):
    """The result of a build."""

    engine: bytes
    timing_cache: bytes  # for the next build


@dataclass
class LoadedEngine:
    """An engine that is ready to run. Delete `context` first, then `engine`, then `runtime`: each needs the next."""

    logger: "trt.ILogger"
    runtime: "trt.Runtime"
    engine: "trt.ICudaEngine"
    context: "trt.IExecutionContext"


def version() -> str:
    """Return TensorRT's version; raise BundleError where it cannot be imported."""
    try:
        import tensorrt as trt
    except (ImportError, OSError) as exc:  # OSError: a shared library is missing
        raise BundleError(f"TensorRT cannot be imported ({exc}); see docs/how-to/jetson.md") from exc
    return str(trt.__version__)


def build(graph: Path, max_batch: int, timing_cache: bytes, progress: BuildProgress) -> BuildResult:
    """Build an engine for batches of 1 to `max_batch`; takes minutes on a small device.

    Raises
    ------
    BundleError
        When TensorRT is missing, does not understand the graph or cannot build it, or `progress` stopped the build.
    """
    running = version()
    import tensorrt as trt

    errors: list[str] = []
    logger = _new_logger(errors)
    try:
        builder = trt.Builder(logger)
    except TypeError as exc:  # raised by the bindings when the library returns nothing, as it does without CUDA
        raise BundleError(f"TensorRT {running} cannot begin here: {_last(errors)}") from exc
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(graph, network, logger)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)  # TF32 rounds more than the golden windows of an fp32 graph allow
    monitor = _new_monitor(progress)  # in a variable, so that it lives as long as the build
    config.progress_monitor = monitor
    config.add_optimization_profile(_new_profile(builder, network, max_batch))
    cache = _set_timing_cache(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BundleError(f"{graph}: TensorRT {running} built no engine: {_last(errors)}")
    return BuildResult(bytes(memoryview(plan)), bytes(memoryview(cache.serialize())))


def load_engine(plan: bytes, bundle: Bundle, max_batch: int) -> LoadedEngine:
    """Load an engine that `build` made into the current CUDA context.

    Raises
    ------
    BundleError
        When TensorRT refuses it, or its inputs and outputs do not match the manifest.
    """
    running = version()
    import tensorrt as trt

    errors: list[str] = []
    logger = _new_logger(errors)
    try:
        runtime = trt.Runtime(logger)
    except TypeError as exc:  # see `build`
        raise BundleError(f"TensorRT {running} cannot begin here: {_last(errors)}") from exc
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise BundleError(f"TensorRT {running} refuses the engine: {_last(errors)}")
    _check_tensors(engine, bundle, max_batch)
    context = engine.create_execution_context()
    if context is None:
        raise BundleError(f"TensorRT {running} cannot make the engine ready to run: {_last(errors)}")
    return LoadedEngine(logger, runtime, engine, context)


def _parse(graph: Path, network: "trt.INetworkDefinition", logger: "trt.ILogger") -> None:
    import tensorrt as trt

    parser = trt.OnnxParser(network, logger)
    if parser.parse(graph.read_bytes()):
        return
    faults = []
    for number in range(parser.num_errors):
        error = parser.get_error(number)
        faults.append(f"node {error.node_name() or error.node()} ({error.node_operator()}): {error.desc()}")
    raise BundleError(f"{graph}: TensorRT {trt.__version__} does not understand {'; '.join(faults) or 'the graph'}")


def _new_profile(
    builder: "trt.Builder", network: "trt.INetworkDefinition", max_batch: int
) -> "trt.IOptimizationProfile":
    """Return the profile for batches of 1 to `max_batch`, optimised for one window: a monitor's usual load."""
    import tensorrt as trt

    profile = builder.create_optimization_profile()
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        rest = tuple(tensor.shape)[1:]
        one, most = trt.Dims([1, *rest]), trt.Dims([max_batch, *rest])
        profile.set_shape(tensor.name, one, one, most)
    return profile


def _set_timing_cache(config: "trt.IBuilderConfig", content: bytes) -> "trt.ITimingCache":
    """Attach the timing cache, or an empty one where TensorRT does not accept it."""
    cache = config.create_timing_cache(content)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return cache
    _LOG.info("the timing cache is of another device or TensorRT version; a new one is begun")
    cache = config.create_timing_cache(b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _check_tensors(engine: "trt.ICudaEngine", bundle: Bundle, max_batch: int) -> None:
    import tensorrt as trt

    spec = bundle.manifest.input
    expected = {
        ("signal", trt.TensorIOMode.INPUT): (-1, len(LEADS), spec.window_samples),
        ("keep", trt.TensorIOMode.INPUT): (-1, len(LEADS)),
        ("probabilities", trt.TensorIOMode.OUTPUT): (-1, len(bundle.manifest.labels)),
    }
    names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
    found = {(name, engine.get_tensor_mode(name)): tuple(engine.get_tensor_shape(name)) for name in names}
    if found != expected:
        raise BundleError(f"{bundle.path}: the engine has the tensors {found}, the manifest {expected}")
    for name in names:
        kind = engine.get_tensor_dtype(name)
        if kind != trt.DataType.FLOAT:
            raise BundleError(f"{bundle.path}: the engine's {name} is {kind}; inputs and outputs must be float32")
    least, _, most = (next(iter(shape)) for shape in engine.get_tensor_profile_shape("signal", 0))
    if not least <= 1 <= max_batch <= most:
        raise BundleError(f"{bundle.path}: the engine takes batches of {least} to {most}, not of 1 to {max_batch}")


def _new_logger(errors: list[str]) -> "trt.ILogger":
    """Return a logger that passes TensorRT's messages to ours, and appends its errors to `errors`."""
    import tensorrt as trt

    severity = trt.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
        severity.INFO: logging.DEBUG,  # TensorRT logs much that only matters when searching for a fault
        severity.VERBOSE: logging.NOTSET,
    }

    class Logger(trt.ILogger):  # type: ignore[misc, unused-ignore]  # Any where TensorRT is not installed
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 does not allow super().__init__()

        def log(self, severity: "trt.ILogger.Severity", msg: str) -> None:
            level = levels[severity]
            if level >= logging.ERROR:
                errors.append(msg)
            if level:
                _LOG.log(level, "TensorRT: %s", msg)

    return Logger()


def _new_monitor(progress: BuildProgress) -> "trt.IProgressMonitor":
    """Return a monitor that reports each phase; TensorRT may call it from several threads."""
    import tensorrt as trt

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, unused-ignore]  # Any where TensorRT is not installed
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 does not allow super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:  # noqa: ARG002  TensorRT's
            self._steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            steps = self._steps.get(phase_name, step + 1)
            return progress(phase_name, step + 1, steps)

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name, 0)
            progress(phase_name, steps, steps)

    return Monitor()


def _last(errors: list[str]) -> str:
    return errors[-1] if errors else "it gave no reason"
