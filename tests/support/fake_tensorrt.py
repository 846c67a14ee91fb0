"""Stand-in of `tensorrt`: the names and parameters that our code uses (test_names.py compares them).

An engine is a line of JSON and the ONNX graph, which ONNX Runtime runs on the stand-in's device memory.
"""
# ruff: noqa: D101, D106  what each class is, TensorRT says

import enum
import json

import numpy as np
import onnx
import onnxruntime as ort

gpu = None  # the test's GpuState
__version__ = "10.3.0"


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    TF32 = 7


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class TensorIOMode(enum.IntEnum):
    INPUT = 1
    OUTPUT = 2


class DataType(enum.IntEnum):
    FLOAT = 0
    HALF = 1


class Dims:
    def __init__(self, shape):
        assert isinstance(shape, list)
        self._shape = tuple(shape)

    def __iter__(self):
        return iter(self._shape)


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self):
        pass

    def log(self, severity, msg):
        raise NotImplementedError


class IProgressMonitor:
    def __init__(self):
        pass

    def phase_start(self, phase_name, parent_phase, num_steps):
        raise NotImplementedError

    def step_complete(self, phase_name, step):
        raise NotImplementedError

    def phase_finish(self, phase_name):
        raise NotImplementedError


class IHostMemory(bytes):
    __slots__ = ()


class ITimingCache:
    def __init__(self, _content):
        self._content = _content

    def serialize(self):
        return IHostMemory(self._content or b"timings of " + gpu.name.encode())


class IOptimizationProfile:
    def __init__(self):
        self._shapes = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002  TensorRT's names
        self._shapes[input] = [tuple(min), tuple(opt), tuple(max)]


class IBuilderConfig:
    def __init__(self):
        self.progress_monitor = None
        self._workspace = 0
        self._flags = {BuilderFlag.TF32}
        self._profiles = []
        self._timing_cache = None

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool is MemoryPoolType.WORKSPACE
        self._workspace = pool_size

    def clear_flag(self, flag):
        self._flags.discard(flag)

    def add_optimization_profile(self, profile):
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        gpu.timing_caches.append(serialized_timing_cache)
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        matches = cache._content in (b"", b"timings of " + gpu.name.encode())
        if matches:
            self._timing_cache = cache
        return matches


class ITensor:
    def __init__(self, _value):
        self.name = _value.name
        self.shape = Dims([dim.dim_value or -1 for dim in _value.type.tensor_type.shape.dim])


class INetworkDefinition:
    def __init__(self):
        self._model = None

    @property
    def num_inputs(self):
        return len(self._model.graph.input)

    def get_input(self, index):
        return ITensor(self._model.graph.input[index])


class ParserError:
    def __init__(self, _number, _node):
        self._number, self._node = _number, _node

    def node(self):
        return self._number

    def node_name(self):
        return self._node.name

    def node_operator(self):
        return self._node.op_type

    def desc(self):
        return "Plugin not found"


class OnnxParser:
    def __init__(self, network, logger):
        self._network = network
        self._errors = []

    @property
    def num_errors(self):
        return len(self._errors)

    def parse(self, model, path=None):
        self._network._model = onnx.load_from_string(model)
        nodes = enumerate(self._network._model.graph.node)
        self._errors = [ParserError(number, node) for number, node in nodes if not onnx.defs.has(node.op_type)]
        return not self._errors

    def get_error(self, index):
        return self._errors[index]


class Builder:
    def __init__(self, logger):
        if not gpu.devices:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def create_network(self, flags=0):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition()

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        assert config._workspace
        assert not config._flags
        assert config._timing_cache
        (profile,) = config._profiles
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, 2)
        go_on = monitor.step_complete("Building", 0)
        while go_on and not gpu.build_may_end.wait(0.01):
            go_on = monitor.step_complete("Building", 0)
        monitor.phase_finish("Building")
        if not go_on or gpu.build_error:
            self._logger.log(ILogger.Severity.ERROR, gpu.build_error or "stopped by the progress monitor")
            return None
        gpu.builds.append(profile._shapes["signal"][2][0])
        header = {"version": gpu.tensorrt, "gpu": gpu.name, "shapes": profile._shapes}
        return IHostMemory(json.dumps(header).encode() + b"\n" + network._model.SerializeToString())


class Runtime:
    def __init__(self, logger):
        gpu.need_context()
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        header, _, graph = serialized_engine.partition(b"\n")
        about = json.loads(header)
        if (about["version"], about["gpu"]) != (gpu.tensorrt, gpu.name):
            self._logger.log(ILogger.Severity.ERROR, "the engine was built for another device")
            return None
        return ICudaEngine(about["shapes"], graph)

    def __del__(self):
        gpu.need_context()
        gpu.freed.append("runtime")


class ICudaEngine:
    def __init__(self, _shapes, _graph):
        self._shapes = _shapes
        self._graph = onnx.load_from_string(_graph).graph
        self._session = ort.InferenceSession(_graph, providers=["CPUExecutionProvider"])
        self._values = {value.name: value for value in (*self._graph.input, *self._graph.output)}

    @property
    def num_io_tensors(self):
        return len(self._values)

    def get_tensor_name(self, index):
        return list(self._values)[index]

    def get_tensor_mode(self, name):
        inputs = {value.name for value in self._graph.input}
        return TensorIOMode.INPUT if name in inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return ITensor(self._values[name]).shape

    def get_tensor_dtype(self, name):
        half = self._values[name].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
        return DataType.HALF if half else DataType.FLOAT

    def get_tensor_profile_shape(self, name, profile_index):
        assert profile_index == 0
        return [Dims(shape) for shape in self._shapes[name]]

    def create_execution_context(self):
        gpu.need_context()
        return IExecutionContext(self)

    def __del__(self):
        gpu.need_context()
        gpu.freed.append("engine")


class IExecutionContext:
    def __init__(self, _engine):
        self._session, self._limits = _engine._session, _engine._shapes
        self._addresses, self._shapes = {}, {}

    def set_input_shape(self, name, shape):
        least, _, most = self._limits[name]
        fits = all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True))
        if fits:
            self._shapes[name] = tuple(shape)
        return fits

    def set_tensor_address(self, name, memory):
        assert memory in gpu.memory
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        gpu.need_context()
        if gpu.run_error:
            return False
        gpu.queues[stream_handle].append(self._run)
        return True

    def _run(self):
        feeds = {
            name: np.frombuffer(gpu.memory[self._addresses[name]], np.float32, int(np.prod(shape))).reshape(shape)
            for name, shape in self._shapes.items()
        }
        (output,) = self._session.run(["probabilities"], feeds)
        gpu.runs.append(len(output))
        raw = (output + np.float32(gpu.bias)).astype(np.float32).tobytes()
        gpu.memory[self._addresses["probabilities"]][: len(raw)] = raw

    def __del__(self):
        gpu.need_context()
        gpu.freed.append("context")
