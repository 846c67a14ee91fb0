"""The last alerts in files on the device, one JSON object a line, so that `ecg-edge evidence` finds them later.

    put ──► bounded queue ──► writer thread ──► alerts.jsonl ──► alerts.jsonl.1 ──► ... ──► the oldest is deleted

The lines are those of `ecg-edge watch --json`. `put` never touches the disk; what a disk that fails or a queue that is
full costs is counted, and no alert waits for it. Survives kill -9; the outbox, not this, is what survives a power cut.
"""

import logging
import queue
import threading
from io import FileIO
from pathlib import Path

from edge.core.errors import ConfigError

_LOG = logging.getLogger(__name__)
FILES = 4  # the one that is written and those before it
INCOMING = 200  # alerts that wait at most


class AlertLog:
    """Writes until `close`; any thread may call `put`.

    Parameters
    ----------
    path : of the newest file; its folder must be there
    most_bytes : of all files together; the oldest give way

    Raises
    ------
    ConfigError
        When the folder does not exist.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        if not path.parent.is_dir():
            raise ConfigError(f"alert_log {path}: there is no folder {path.parent}; create it, or name another file")
        self.lost = 0  # alerts that could not be written
        self._path = path
        self._most_bytes = most_bytes // FILES
        self._file: FileIO | None = None
        self._lines: queue.Queue[bytes | None] = queue.Queue(INCOMING)
        self._writer = threading.Thread(target=self._write_forever, name="alert-log", daemon=True)
        self._writer.start()

    def put(self, topic: str, payload: bytes) -> None:
        """Take an encoded alert; return at once."""
        try:
            self._lines.put_nowait(b'{"topic":"%b","retained":false,"payload":%b}\n' % (topic.encode(), payload))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, and end."""
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
                self._shut()
                if not failing:
                    _LOG.error("alert_log %s: %s; alerts go out, and are not kept here", self._path, exc)
                failing = True
        self._shut()

    def _write(self, line: bytes) -> None:
        file = self._file = self._file or self._open()
        if file.tell() and file.tell() + len(line) > self._most_bytes:
            self._shut()
            self._rotate()
            file = self._file = self._open()
        if file.write(line) != len(line):
            raise OSError("the disk is full")

    def _open(self) -> FileIO:
        """Open for appending, behind the end of a line: a killed program or a full disk may have left half of one."""
        file = FileIO(self._path, "a+")
        if end := file.seek(0, 2):
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        return file

    def _rotate(self) -> None:
        """Make each file the next older one; the oldest is replaced."""
        for older, newer in reversed(list(zip(_names(self._path)[1:], _names(self._path), strict=False))):
            if newer.is_file():
                newer.replace(older)

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def log_files(path: Path) -> list[Path]:
    """Return the files of an alert log, the newest first; that one stands there in any case."""
    return [path, *filter(Path.is_file, _names(path)[1:])]


def _names(path: Path) -> list[Path]:
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, FILES))]
