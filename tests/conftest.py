"""Fixtures that many tests share: the real data sets and a real broker."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from waiting import free_port, wait_until

from edge.sources.record_path import data_root

settings.register_profile("loaded", deadline=None)  # a slow or busy machine is not a failure
settings.load_profile("loaded")

GET_DATA = "get the sets from PhysioNet and set ECG_DATA to the folder that holds mitdb/"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the data sets; skips without MIT-BIH."""
    root = data_root()
    if not (root / "mitdb" / "208.dat").is_file():
        pytest.skip(f"no MIT-BIH records in {root}; {GET_DATA}")
    return root


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Mosquitto:
    """A real Mosquitto on a free port; it can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n", "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin") or "mosquitto"
        self._process = subprocess.Popen(
            [binary, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: _listens(self.port), what="Mosquitto's port")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Start a Mosquitto for this test only."""
    if not (shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")):
        pytest.skip("no mosquitto program; install the package mosquitto")
    server = Mosquitto(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """(host, port) of a Mosquitto that all tests share; each test uses its own topics."""
    if not (shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")):
        pytest.skip("no mosquitto program; install the package mosquitto")
    server = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    server.start()
    yield server.host, server.port
    server.stop()
