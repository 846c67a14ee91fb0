"""A simulated GPU: the state that the stand-ins of TensorRT and pycuda share, and that a test may change.

Device memory is a table of byte arrays. Work on a stream is done only when the stream is synchronized, so code that
reads a result or reuses a buffer too early gets wrong numbers.
"""

import sys
import threading
import types
from collections.abc import Callable
from contextlib import contextmanager


class GpuState:
    """The state of one GPU; a new one for each test."""

    def __init__(self):
        self.name, self.capability = "Orin", (8, 7)
        self.devices = 1
        self.tensorrt = "10.3.0"
        self.free_bytes = 1 << 30
        self.bias = 0.0  # added to every probability
        self.builds = []  # largest batch of each build
        self.timing_caches = []  # bytes that each build was given
        self.build_error = ""
        self.build_may_end = threading.Event()
        self.build_may_end.set()
        self.run_error = ""
        self.runs = []  # rows of each run
        self.memory: dict[int, bytearray] = {}
        self.contexts = 0  # retained, of the primary context
        self.current: dict[int, int] = {}  # thread -> contexts pushed
        self.queues: dict[int, list[Callable[[], None]]] = {}  # stream -> work
        self.freed = []  # TensorRT's objects, in the order in which they were deleted

    @contextmanager
    def installed(self, monkeypatch):
        import fake_pycuda
        import fake_tensorrt

        fake_tensorrt.gpu = fake_pycuda.gpu = self
        fake_tensorrt.__version__ = self.tensorrt
        package = types.ModuleType("pycuda")
        vars(package)["driver"] = fake_pycuda
        for name, module in (("tensorrt", fake_tensorrt), ("pycuda", package), ("pycuda.driver", fake_pycuda)):
            monkeypatch.setitem(sys.modules, name, module)
        yield self

    def need_context(self):
        assert self.current.get(threading.get_ident()), "no CUDA context is current in this thread"

    @property
    def clean(self):
        return not (self.memory or self.contexts or any(self.current.values()) or any(self.queues.values()))
