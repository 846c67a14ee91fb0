"""The last alerts in files on the device, one JSON object a line, where `ecg-edge evidence` finds them later.

    put ──► bounded queue ──► writer thread ──► alerts.jsonl ──► alerts.jsonl.1 ──► ... ──► the oldest is deleted

The lines are those of `ecg-edge watch --json`. `put` never touches the disk, so no alert waits for it; what a failing
disk or a full queue loses is counted. The files survive kill -9. They are not synced, so a power cut may cost the last
lines; the outbox is what survives that.
"""

import logging
import queue
import threading
from io import FileIO
from pathlib import Path

from edge.core.errors import ConfigError

_LOG = logging.getLogger(__name__)
FILES = 4  # the one being written and the three before it
INCOMING = 200  # most alerts that wait


class AlertLog:
    """Writes until `close`; any thread may call `put`.

    Parameters
    ----------
    path : of the newest file; its folder must exist
    max_bytes : of all files together; the oldest file is deleted first

    Raises
    ------
    ConfigError
        When the folder does not exist.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        if not path.parent.is_dir():
            raise ConfigError(f"alert_log {path}: there is no folder {path.parent}; create it, or name another file")
        self.lost = 0  # alerts that could not be written
        self._path = path
        self._max_file_bytes = max_bytes // FILES
        self._file: FileIO | None = None
        self._lines: queue.Queue[bytes | None] = queue.Queue(INCOMING)
        self._writer = threading.Thread(target=self._write_forever, name="alert-log", daemon=True)
        self._writer.start()

    def put(self, topic: str, payload: bytes) -> None:
        """Add an encoded alert; return at once."""
        try:
            # Put together from bytes: the payload is JSON already, and decoding it again would cost the caller time.
            self._lines.put_nowait(b'{"topic":"%b","retained":false,"payload":%b}\n' % (topic.encode(), payload))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._lines.put(None)
        self._writer.join()

    def _write_forever(self) -> None:
        failing = False
        while (line := self._lines.get()) is not None:
            try:
                self._write(line)
                failing = False
            except OSError as exc:
                self.lost += 1
                self._close_file()  # the next line opens it again: the disk may have been exchanged
                if not failing:
                    _LOG.error("alert_log %s: %s; alerts are sent, but not kept here", self._path, exc)
                failing = True
        self._close_file()

    def _write(self, line: bytes) -> None:
        file = self._file = self._file or self._open()
        if file.tell() and file.tell() + len(line) > self._max_file_bytes:
            self._close_file()
            self._rotate()
            file = self._file = self._open()
        if file.write(line) != len(line):  # a nearly full disk takes a part
            raise OSError("the disk is full")

    def _open(self) -> FileIO:
        """Open for appending, and end a line that a killed program or a full disk left half written."""
        file = FileIO(self._path, "a+")  # without a buffer, so that kill -9 loses no finished line
        if end := file.seek(0, 2):
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        return file

    def _rotate(self) -> None:
        """Rename each file to the next older name; the oldest file is replaced."""
        for older, newer in reversed(list(zip(_names(self._path)[1:], _names(self._path), strict=False))):
            if newer.is_file():
                newer.replace(older)

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def log_files(path: Path) -> list[Path]:
    """Return the files of an alert log, the newest first. The newest one is listed even if it does not exist."""
    return [path, *filter(Path.is_file, _names(path)[1:])]


def _names(path: Path) -> list[Path]:
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, FILES))]
