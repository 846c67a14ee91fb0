"""The systemd unit, read by systemd itself."""

import subprocess
from pathlib import Path

import pytest
from running import EDGE

ROOT = Path(__file__).parents[2]


def test_the_unit_is_valid(tmp_path):
    """Systemd itself reads the unit; the program's path is put in place of the one where it will be installed."""
    unit = (ROOT / "deploy" / "systemd" / "ecg-edge.service").read_text()
    (tmp_path / "ecg-edge.service").write_text(unit.replace("/opt/ecg-nat/venv/bin/ecg-edge", str(EDGE)))
    try:
        result = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / "ecg-edge.service"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except FileNotFoundError:
        pytest.skip("no systemd-analyze; install systemd")
    complaints = [line for line in result.stderr.splitlines() if "ecg-edge" in line]
    assert result.returncode == 0, result.stderr
    assert not complaints
