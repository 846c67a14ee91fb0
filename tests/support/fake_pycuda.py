"""Stand-in of `pycuda.driver`: the names and parameters that our code uses (test_names.py compares them)."""
# ruff: noqa: D101  what each class is, pycuda says

import itertools
import threading

import numpy as np

gpu = None  # the test's GpuState
_addresses = itertools.count(4096, 1 << 20)
_streams = itertools.count(7)


class Error(Exception):
    pass


def init(flags=0):
    if not gpu.devices:
        raise Error("cuInit failed: no CUDA-capable device is detected")


class Device:
    def __init__(self, number):
        assert number < gpu.devices

    @staticmethod
    def count():
        return gpu.devices

    def name(self):
        return gpu.name

    def compute_capability(self):
        return gpu.capability

    def retain_primary_context(self):
        gpu.contexts += 1
        return Context()


class Context:
    def push(self):
        gpu.current[threading.get_ident()] = gpu.current.get(threading.get_ident(), 0) + 1

    def detach(self):
        gpu.need_context()
        gpu.current[threading.get_ident()] -= 1
        gpu.contexts -= 1


class Stream:
    def __init__(self, flags=0):
        gpu.need_context()
        self.handle = next(_streams)
        gpu.queues[self.handle] = []

    def synchronize(self):
        gpu.need_context()
        queue = gpu.queues[self.handle]
        while queue:
            queue.pop(0)()


class DeviceAllocation:
    def __init__(self, _size):
        self._address = next(_addresses)
        gpu.memory[self._address] = bytearray(_size)

    def __int__(self):
        return self._address

    def free(self):
        gpu.need_context()
        del gpu.memory[self._address]


def mem_alloc(size):
    gpu.need_context()
    if size > gpu.free_bytes:
        raise Error("cuMemAlloc failed: out of memory")
    return DeviceAllocation(size)


def mem_get_info():
    gpu.need_context()
    return gpu.free_bytes, 1 << 31


def pagelocked_empty(shape, dtype):
    gpu.need_context()
    return np.full(shape, np.nan, dtype)


def memcpy_htod_async(dest, src, stream=None):
    gpu.need_context()
    assert src.flags.c_contiguous

    def copy():
        gpu.memory[int(dest)][: src.nbytes] = src.tobytes()

    gpu.queues[stream.handle].append(copy)


def memcpy_dtoh_async(dest, src, stream=None):
    gpu.need_context()
    assert dest.flags.c_contiguous

    def copy():
        dest[...] = np.frombuffer(gpu.memory[int(src)], dest.dtype, dest.size).reshape(dest.shape)

    gpu.queues[stream.handle].append(copy)
