"""The systemd unit, checked by systemd itself."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "ecg-edge.service"
JETSON = DEPLOY / "jetson" / "ecg-edge-jetson.conf"
MAX_EXPOSURE = 2.0


@pytest.fixture
def unit(tmp_path):
    """Return a copy of the unit that starts an existing program, in a folder for units."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze; install systemd")
    copy = tmp_path / "units" / UNIT.name
    copy.parent.mkdir()
    copy.write_text(UNIT.read_text().replace("/opt/ecg-nat/venv/bin/ecg-edge", shutil.which("true")))
    return copy


def analyze(unit, *arguments):
    environment = {"SYSTEMD_UNIT_PATH": f"{unit.parent}:", "PATH": "/usr/bin:/bin"}
    command = ["systemd-analyze", *arguments, unit]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    if "--offline" in " ".join(arguments) and "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250 and cannot check a file")
    return done


@pytest.mark.parametrize("jetson", [False, True], ids=["plain", "jetson"])
def test_systemd_finds_nothing_wrong(unit, jetson):
    if jetson:
        folder = unit.with_name(unit.name + ".d")
        folder.mkdir()
        shutil.copy(JETSON, folder / "jetson.conf")
    done = analyze(unit, "verify", "--man=no")
    complaints = [line for line in done.stderr.splitlines() if "ecg-edge" in line or "jetson" in line]
    assert done.returncode == 0, done.stderr
    assert not complaints


def test_its_exposure_is_low(unit):
    done = analyze(unit, "security", "--offline=yes", "--no-pager", f"--threshold={10 * MAX_EXPOSURE:.0f}")
    assert done.returncode == 0, done.stdout
    exposure = float(re.search(r"exposure level for ecg-edge.service: ([0-9.]+)", done.stdout)[1])
    assert 0 < exposure <= MAX_EXPOSURE


def settings(path):
    """Return the last value of each key of [Service], in lower case."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(path.read_text())
    return dict(parser["Service"])


def test_a_jetson_can_use_its_gpu():
    """ProtectClock= adds a DeviceAllow= for the clock, and so closed the GPU's devices."""
    merged = {**settings(UNIT), **settings(JETSON)}
    assert (merged["devicepolicy"], merged["deviceallow"], merged["protectclock"]) == ("auto", "", "no")
    assert settings(UNIT)["memorydenywriteexecute"] == "yes"
    assert merged["memorydenywriteexecute"] == "no"


def test_every_credential_of_the_unit_may_be_missing():
    text = UNIT.read_text()
    loaded = re.findall(r"^LoadCredential=([\w.]+):/etc/ecg-edge/tls/\1$", text, re.MULTILINE)
    assert loaded == re.findall(r"^SetCredential=([\w.]+):absent$", text, re.MULTILINE)
    assert set(loaded) == {"ca.pem", "device.pem", "device.key", "password"}
