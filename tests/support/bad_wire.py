"""A TCP proxy that misbehaves like a network: it cuts, delays, throttles and corrupts connections."""

import asyncio
import threading
from collections import Counter

import numpy as np

_CHUNK = 4096


class BadWire:
    """A context manager that forwards connections from `port` to another port of this machine, in its own thread.

    Parameters
    ----------
    target : the other port
    seed : of the corruption

    Attributes
    ----------
    delay_s : delay of each chunk
    bytes_per_s : most bytes per second; 0: no limit
    corrupt : share of chunks in which one byte is changed
    totals : `connections`, `cuts`, `corrupted_chunks` and `bytes` so far
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.totals: Counter[str] = Counter()
        self.port = 0
        self.heal()
        self._target = target
        self._random = np.random.default_rng(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="bad-wire", daemon=True)

    def heal(self) -> None:
        """Forward everything unchanged and at once from now on."""
        self.delay_s, self.bytes_per_s, self.corrupt = 0.0, 0.0, 0.0

    def cut(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        self._cut()

    def _cut(self) -> None:
        self.totals["cuts"] += len(self._writers) // 2
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        self.totals["connections"] += 1
        try:
            far, to_far = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            to_near.transport.abort()
            return
        both = {to_near, to_far}
        self._writers |= both
        try:
            await asyncio.gather(self._forward(near, to_far), self._forward(far, to_near))
        finally:
            self._writers -= both
            for writer in both:
                writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self.delay_s + (len(data) / self.bytes_per_s if self.bytes_per_s else 0.0))
                self.totals["bytes"] += len(data)
                writer.write(self._corrupt(data) if self._random.random() < self.corrupt else data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def _corrupt(self, data: bytes) -> bytes:
        self.totals["corrupted_chunks"] += 1
        index = self._random.integers(len(data))
        return data[:index] + bytes([data[index] ^ int(self._random.integers(1, 256))]) + data[index + 1 :]
