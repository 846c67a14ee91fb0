"""The container file, as far as it can be checked without a container engine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import start_http_server
from waiting import free_port

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "Containerfile").read_text()


def test_every_copied_file_exists():
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE)
    paths = [path for line in copied for path in line.split()]
    assert {"edge", "pyproject.toml", "deploy/ecg-edge.example.toml"} <= set(paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_last_stage_is_small_and_not_root():
    last = TEXT[TEXT.rindex("\nFROM ") :]
    assert "-slim" in last.splitlines()[1]
    assert re.search(r"^USER (?!root)", last, re.MULTILINE)
    assert not re.search(r"apt-get|pip install|build-essential", last)
    assert "HEALTHCHECK" in last


@pytest.fixture
def metrics_port():
    """Port on which metrics are served."""
    server, thread = start_http_server(0, "127.0.0.1")
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def check(tmp_path, port):
    path = tmp_path / "ecg-edge.toml"
    path.write_text(
        f'[device]\nid = "ecg-edge"\n[health]\nmetrics_port = {port}\n[[source]]\nkind = "serial"\nport = "/dev/none"\n'
    )
    script = ROOT / "deploy" / "healthcheck.py"
    return subprocess.run([sys.executable, script, path], capture_output=True, text=True, timeout=60)


def test_the_health_check_asks_the_port_of_the_configuration(tmp_path, metrics_port):
    assert check(tmp_path, metrics_port).returncode == 0
    assert check(tmp_path, 0).returncode == 0
    gone = check(tmp_path, free_port())
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)
    assert "Connection refused" in gone.stderr
