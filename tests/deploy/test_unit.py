"""The systemd unit, read and judged by systemd itself."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "ecg-edge.service"
JETSON = DEPLOY / "jetson" / "ecg-edge-jetson.conf"
MOST_EXPOSURE = 2.0


@pytest.fixture
def unit(tmp_path):
    """Return a copy of the unit that names a program which is there, below a folder for units."""
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
        pytest.skip("systemd-analyze is older than 250 and cannot judge a file")
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


def test_it_is_exposed_no_more_than_it_must(unit):
    done = analyze(unit, "security", "--offline=yes", "--no-pager", f"--threshold={10 * MOST_EXPOSURE:.0f}")
    assert done.returncode == 0, done.stdout
    exposure = float(re.search(r"exposure level for ecg-edge.service: ([0-9.]+)", done.stdout)[1])
    assert 0 < exposure <= MOST_EXPOSURE


def settings(path):
    """Return the last value of each key of [Service], in lower case."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(path.read_text())
    return dict(parser["Service"])


def test_no_device_that_is_allowed_closes_the_others_on_a_jetson():
    """ProtectClock= adds the clock's device to those allowed, and so would have closed the GPU's."""
    merged = {**settings(UNIT), **settings(JETSON)}
    assert (merged["devicepolicy"], merged["deviceallow"], merged["protectclock"]) == ("auto", "", "no")
    assert settings(UNIT)["memorydenywriteexecute"] == "yes"
    assert merged["memorydenywriteexecute"] == "no"


def test_every_file_that_the_unit_hands_over_may_be_absent():
    text = UNIT.read_text()
    loaded = re.findall(r"^LoadCredential=([\w.]+):/etc/ecg-edge/tls/\1$", text, re.MULTILINE)
    assert loaded == re.findall(r"^SetCredential=([\w.]+):absent$", text, re.MULTILINE)
    assert set(loaded) == {"ca.pem", "device.pem", "device.key", "password"}
