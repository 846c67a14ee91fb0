"""The installer, with a real wheel of this project, below a temporary root."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "deploy" / "install.sh"
CONFIG = 'model = "rhythm"\n[[source]]\nkind = "synthetic"\n'


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel of this checkout, from a copy of what git tracks of it."""
    folder = tmp_path_factory.mktemp("wheel")
    parts = ["pyproject.toml", "README.md", "LICENSE", "edge", "ecgnat", "training", "calibration"]
    copy = folder / "copy"
    copy.mkdir()
    subprocess.run(["cp", "-r", *parts, copy], cwd=ROOT, check=True)
    code = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True, timeout=100)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture
def install(tmp_path):
    """Give the function that runs the installer below a root folder of this test."""
    environment = {
        **os.environ,
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
        # the new environment uses the packages of this one instead of an index
        "PYTHONPATH": sysconfig.get_paths()["purelib"],
    }

    def run(*arguments, ok=True):
        command = [INSTALL, "--root", tmp_path / "root", "--python", sys.executable, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=390, cwd=tmp_path)
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout if ok else done.stderr

    return run


def tree(root):
    """Return the files below a folder and their contents, without those of the environments."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if "versions" not in path.parts and "venv" not in path.parts
    }


@pytest.mark.timeout(400)  # it makes an environment
def test_install_again_and_uninstall(tmp_path, wheel, install):
    root = tmp_path / "root"
    home, config = root / "opt/ecg-nat", root / "etc/ecg-edge/ecg-edge.toml"
    assert "wrote" in install("--from", wheel)
    first, version = tree(root), (home / "venv").readlink()
    assert (root / "etc/ecg-edge/tls").stat().st_mode & 0o777 == 0o700
    unit = first["etc/systemd/system/ecg-edge.service"].decode()
    assert "ExecStart=/opt/ecg-nat/venv/bin/ecg-edge run" in unit
    where = "import edge; print(edge.__file__)"
    imported = subprocess.run([home / "venv/bin/python", "-I", "-c", where], capture_output=True, text=True)
    assert str(home) in imported.stdout

    assert "--upgrade brings it up to date" in install("--from", wheel)
    assert (tree(root), (home / "venv").readlink()) == (first, version)

    (home / "ours.txt").write_text("not the installer's")
    assert "stay" in install("--uninstall")
    left = {"etc", "etc/ecg-edge", "etc/ecg-edge/ecg-edge.toml", "etc/ecg-edge/ecg-edge.example.toml"}
    left |= {"etc/ecg-edge/tls", "etc/systemd", "etc/systemd/system", "opt", "opt/ecg-nat", "opt/ecg-nat/ours.txt"}
    assert tree(root).keys() == left
    install("--uninstall")
    (root / "var/lib/private/ecg-edge").mkdir(parents=True)
    install("--uninstall", "--purge")
    assert not config.parent.exists()
    assert not (root / "var/lib/private/ecg-edge").exists()


@pytest.fixture
def python(tmp_path):
    """Make a stand-in for Python that makes environments at once; its ecg-edge rejects pigeons in a configuration."""
    python = tmp_path / "python3.11"
    python.write_text("""#!/bin/sh
echo "$*" >>"${0%/*}/log"
case "$*" in
    "-m venv "*) for new; do :; done; mkdir -p "$new/bin" && cp "$0" "$new/bin/python" && cp "$0" "$new/bin/ecg-edge" ;;
    "run --config "*" --check") ! grep pigeon "$3" ;;
esac
""")
    python.chmod(0o755)
    (tmp_path / "a.whl").touch()
    return python


def test_another_prefix_and_a_jetson(tmp_path, python, install):
    install("--python", python, "--jetson", "--prefix", "/srv/ecg", "--from", "a.whl")
    root = tmp_path / "root"
    unit = (root / "etc/systemd/system/ecg-edge.service").read_text()
    assert "ExecStart=/srv/ecg/venv/bin/ecg-edge run" in unit
    assert "/opt/ecg-nat" not in unit
    assert (root / "etc/systemd/system/ecg-edge.service.d/jetson.conf").is_file()
    assert f"{tmp_path}/a.whl[jetson]" in (root / "srv/ecg/venv/bin/log").read_text()
    assert "--system-site-packages" in (tmp_path / "log").read_text()


def test_an_upgrade_must_accept_the_configuration(tmp_path, python, install):
    install("--python", python, "--from", "a.whl")
    home, config = tmp_path / "root/opt/ecg-nat", tmp_path / "root/etc/ecg-edge/ecg-edge.toml"
    version = (home / "venv").readlink()
    config.write_text("[[source]]\nkind = 'pigeon'\n")
    assert "does not accept" in install("--python", python, "--upgrade", "--from", "a.whl", ok=False)
    assert (home / "venv").readlink() == version
    assert [path.name for path in (home / "versions").iterdir()] == [version.name]

    config.write_text(CONFIG)
    install("--python", python, "--upgrade", "--from", "a.whl")
    assert (home / "venv").readlink() != version
    assert [path.name for path in (home / "versions").iterdir()] == [(home / "venv").readlink().name]
    assert config.read_text() == CONFIG


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--upgrade"], "nothing to upgrade"),
        (["--from", "/nowhere.whl"], "no such file"),
        (["--prefix", "opt"], "absolute path"),
        (["--purge"], "goes with --uninstall"),
        (["--colour"], "unknown option"),
        (["--from"], "needs a value"),
        (["--python", "/usr/bin/false"], "no Python 3.10, 3.11 or 3.12"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path, install, arguments, word):
    error = install(*arguments, ok=False)
    assert word in error
    assert error.count("\n") == 1
    assert not (tmp_path / "root/opt/ecg-nat/venv").exists()
