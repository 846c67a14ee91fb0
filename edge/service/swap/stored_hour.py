"""The last hour of the streams, stored on disk, so that a new bundle can be tried on it before it serves.

    put ──► bounded queue ──► writer thread ──► <stream>/000000000007 ──► the oldest file is deleted

A record is one block: its length, then MessagePack under zlib, samples as whole microvolts. `put` never touches the
disk. Blocks lost to a full queue or a failing disk are counted, and are gaps. After a kill the last record of a file
may be incomplete, and reading stops there. The hour need not survive a power cut, so nothing is synced to the disk.
"""

import logging
import queue
import shutil
import threading
import zlib
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

import msgspec
import numpy as np

from edge.core.errors import StreamError
from edge.core.samples import Block

_LOG = logging.getLogger(__name__)
KEEP_S = 3600.0  # of each stream
STREAMS = 8  # most streams that are stored at once, in the order in which they came
_FILE_S = 300.0
_FILES = round(KEEP_S / _FILE_S) + 1  # one more, because the newest is not full
_FILE_BYTES = 5 << 20
_MAX_RECORD_BYTES = 32 << 20
_QUEUE_BLOCKS = 1000
_UNITS_PER_MV = 1000.0
_FLUSH_S = 10.0


# As an array, because field names would be longer than the samples of a short block.
class _Record(msgspec.Struct, frozen=True, array_like=True):
    stream: str
    epoch: str
    sample_rate_hz: float
    leads: tuple[str, ...]
    first_sample: int
    device_time_s: float
    samples: bytes  # (leads, samples) int16, microvolts
    missing: bytes  # (leads, samples) uint8

    @classmethod
    def of(cls, block: Block) -> "_Record":
        # 16 bits hold 32 mV, more than any ECG reaches.
        microvolts = np.clip(np.rint(block.samples * _UNITS_PER_MV), -32767, 32767).astype("<i2")
        return cls(
            block.stream,
            block.epoch,
            block.sample_rate_hz,
            block.leads,
            block.first_sample,
            block.device_time_s,
            microvolts.tobytes(),
            block.missing.tobytes(),
        )

    def block(self) -> Block:
        """Return the block; ValueError or StreamError when the record is damaged."""
        shape = (len(self.leads), -1)
        return Block(
            stream=self.stream,
            sample_rate_hz=self.sample_rate_hz,
            leads=self.leads,
            first_sample=self.first_sample,
            samples=(np.frombuffer(self.samples, "<i2").reshape(shape) / _UNITS_PER_MV).astype(np.float32),
            missing=np.frombuffer(self.missing, np.uint8).reshape(shape),
            device_time_s=self.device_time_s,
            epoch=self.epoch,
        )

    @property
    def seconds(self) -> float:
        return len(self.missing) / len(self.leads) / self.sample_rate_hz


class _File:
    """The file of one stream that is being written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = _files(folder)
        for path in before[: 1 - _FILES]:
            path.unlink(missing_ok=True)
        number = int(before[-1].name) + 1 if before else 0
        self.file: BufferedWriter = (folder / f"{number:012d}").open("wb")
        self.seconds, self.bytes = 0.0, 0

    @property
    def full(self) -> bool:
        return self.seconds >= _FILE_S or self.bytes >= _FILE_BYTES

    def write(self, record: _Record) -> None:
        packed = zlib.compress(msgspec.msgpack.encode(record), 1)  # level 1: a higher one costs more than it saves
        self.file.write(len(packed).to_bytes(4, "little") + packed)
        self.seconds += record.seconds
        self.bytes += len(packed)


class StoredHour:
    """Stores blocks until `close`; any thread may call `put`.

    Parameters
    ----------
    folder : created when it does not exist

    Attributes
    ----------
    lost : number of blocks that could not be stored
    """

    def __init__(self, folder: Path) -> None:
        self.lost = 0
        self.folder = folder
        self._open: dict[str, _File] = {}  # by stream; only the writer thread changes it
        self._jobs: queue.Queue[_Record | str | threading.Event | None] = queue.Queue(_QUEUE_BLOCKS)
        self._failing = False
        self._writer = threading.Thread(target=self._write_forever, name="stored-hour", daemon=True)
        self._writer.start()

    def put(self, block: Block) -> None:
        """Store a block; returns at once."""
        # Read without a lock: at worst a block of a ninth stream is queued, and the writer drops it.
        if block.stream not in self._open and len(self._open) >= STREAMS:
            return
        try:
            if block.missing.size:
                self._jobs.put_nowait(_Record.of(block))
            if block.last:
                self._jobs.put_nowait(block.stream)  # closes its file
        except queue.Full:
            self.lost += 1

    def flush(self) -> None:
        """Return when every block so far can be read, or after ten seconds."""
        done = threading.Event()
        self._jobs.put(done)
        done.wait(_FLUSH_S)

    def close(self) -> None:
        """Write what waits, and stop."""
        self._jobs.put(None)
        self._writer.join()

    def _write_forever(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._do(job)
            except OSError as exc:
                self.lost += 1
                if not self._failing:  # logged once for each failure, not once for each block
                    _LOG.error("%s: %s; the last hour is not stored", self.folder, exc)
                self._failing = True
                self._close_file(job.stream if isinstance(job, _Record) else "")
        for stream in list(self._open):
            self._close_file(stream)

    def _do(self, job: _Record | str | threading.Event) -> None:
        match job:
            case _Record():
                self._write(job)
                self._failing = False
            case threading.Event():
                try:
                    for each in self._open.values():
                        each.file.flush()
                finally:
                    job.set()
            case str():
                self._close_file(job)

    def _write(self, record: _Record) -> None:
        file = self._open.get(record.stream)
        if file is None or file.full:
            if file is not None:
                file.file.close()
            elif len(self._open) >= STREAMS:
                return
            else:
                self._make_room(record.stream)
            file = self._open[record.stream] = _File(self.folder / record.stream)
        file.write(record)

    def _make_room(self, stream: str) -> None:
        """Delete the stored streams that ended longest ago, if there are too many for a new one."""
        stored = [path for path in _folders(self.folder) if path.name != stream]
        idle = sorted((path for path in stored if path.name not in self._open), key=lambda path: path.stat().st_mtime)
        for path in idle[: max(len(stored) + 1 - STREAMS, 0)]:
            shutil.rmtree(path, ignore_errors=True)

    def _close_file(self, stream: str) -> None:
        file = self._open.pop(stream, None)
        if file is not None:
            try:
                file.file.close()
            except OSError:
                self.lost += 1


def stored_blocks(folder: Path) -> Iterator[Block]:
    """Yield the stored blocks in order, one stream after another; a damaged record ends its file."""
    for stream in _folders(folder):
        for path in _files(stream):
            yield from _blocks(path)


def _blocks(path: Path) -> Iterator[Block]:
    decoder = msgspec.msgpack.Decoder(_Record)
    with path.open("rb") as file:
        while len(head := file.read(4)) == 4:
            # Both sizes are bounded, because the file may be damaged.
            packed = file.read(min(int.from_bytes(head, "little"), _MAX_RECORD_BYTES))
            try:
                unpacked = zlib.decompressobj().decompress(packed, _MAX_RECORD_BYTES)
                block = decoder.decode(unpacked).block()
            except (zlib.error, msgspec.MsgspecError, StreamError, ValueError):
                return
            yield block


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.isdecimal())
