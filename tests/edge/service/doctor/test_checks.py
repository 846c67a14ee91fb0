"""Every finding of the doctor, from given facts."""

import os
from pathlib import Path

import pytest

from edge.classifiers.base import ClassifierConfig
from edge.mqtt.client import BrokerConfig
from edge.service.config import ServiceConfig
from edge.service.doctor.broker import BrokerProbe, brokers_of, check_broker
from edge.service.doctor.finding import output_of
from edge.service.doctor.host import Clock, Folder, check_clock, check_folder, folders_of, inspect_folder, read_clock
from edge.service.doctor.model import check_model
from edge.service.doctor.ports import Port, check_port, check_ports, inspect_port
from edge.service.doctor.software import Accelerator, check_accelerator, check_python, inspect_accelerator
from edge.service.doctor.unit import check_unit
from edge.sources.config import MqttConfig, SerialConfig, SyntheticConfig

NOW_S = 1_800_000_000.0
DAY_S = 86_400.0
ORIN = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64"
WANTED, NO_OTHER = ClassifierConfig(backend="tensorrt"), ClassifierConfig(backend="tensorrt", fallback=False)


def only(findings, level, *words):
    """Return the only finding, which has this level and these words; all but `ok` have a fix."""
    (finding,) = findings
    assert finding.level == level, finding
    assert bool(finding.fix) == (level != "ok")
    for word in words:
        assert word in finding.message + " " + finding.fix
    return finding


@pytest.mark.parametrize(
    ("version", "level", "word"), [((3, 9), "fail", "older"), ((3, 10), "ok", "3.10"), ((3, 13), "warn", "newer")]
)
def test_python(version, level, word) -> None:
    only(check_python(version, "CPython"), level, word)


def accelerator(**changes) -> Accelerator:
    whole = {"tegra": ORIN, "tensorrt": "10.3.0", "pycuda": "2026.1", "nodes": {"/dev/nvhost-gpu": True}}
    return Accelerator(**{**whole, "system_site": True, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": {}}, ("no GPU", "onnxruntime")),
        ({"nodes": {"/dev/nvhost-gpu": False}}, ("/dev/nvhost-gpu", "usermod -aG video")),
        ({"tensorrt": "", "system_site": False}, ("does not see", "--jetson")),
        ({"tensorrt": ""}, ("TensorRT cannot be imported", "nvidia-jetpack")),
        ({"tensorrt": "", "tegra": ""}, ("TensorRT cannot be imported", "ecg-nat[gpu]")),
        ({"tensorrt": "8.6.2"}, ("older than 10.3", "JetPack to 6.1")),
        ({"pycuda": ""}, ("pycuda", "ecg-nat[jetson]")),
    ],
)
def test_what_tensorrt_needs(changes, words) -> None:
    found = accelerator(**changes)
    only(check_accelerator(found, NO_OTHER), "fail", *words)
    only(check_accelerator(found, WANTED), "warn", *words, "ONNX Runtime runs the graph")
    only(check_accelerator(found, ClassifierConfig()), "ok", "not used")


def test_a_complete_jetson() -> None:
    only(check_accelerator(accelerator(), NO_OTHER), "ok", "JetPack 6", "TensorRT 10.3.0", "/dev/nvhost-gpu")
    only(check_accelerator(accelerator(tegra="# R38 (release)"), WANTED), "ok", "JetPack 7")
    only(check_accelerator(accelerator(tegra="# R99 (release)"), WANTED), "ok", "L4T R99")


def test_the_accelerator_of_this_machine() -> None:
    only(check_accelerator(inspect_accelerator(), ClassifierConfig()), "ok")


def port(**changes) -> Port:
    return Port(**{"path": "/dev/x", "exists": True, "is_device": True, "usable": True, "group": "dialout", **changes})


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"exists": False}, "fail", ("does not exist", "usb-ECG-if00", "/dev/serial/by-id")),
        ({"is_device": False}, "fail", ("not a device",)),
        ({"usable": False}, "fail", ("sudo usermod -aG dialout $USER",)),
        ({"stable": "/dev/serial/by-id/usb-ECG-if00"}, "warn", ("port = 'usb-ECG-if00'",)),
        ({}, "ok", ("group dialout",)),
    ],
)
def test_serial_ports(changes, level, words) -> None:
    only(check_port(port(**{"stable": None, **changes}), ("usb-ECG-if00",)), level, *words)


def test_ports_of_this_machine(tmp_path, monkeypatch) -> None:
    near, far = os.openpty()
    name = os.ttyname(far)
    found = inspect_port(name)
    assert (found.exists, found.is_device, found.usable) == (True, True, os.access(name, os.R_OK | os.W_OK))
    monkeypatch.setattr("edge.sources.serial_port.BY_ID", tmp_path)
    (tmp_path / "usb-ECG-if00").symlink_to(name)
    assert inspect_port(name).stable == str(tmp_path / "usb-ECG-if00")
    assert not inspect_port(str(tmp_path)).is_device
    config = ServiceConfig(source=(SerialConfig(port=str(tmp_path / "none")), SerialConfig(port=name, stream="b")))
    assert [finding.level for finding in check_ports(config)] == ["fail", "warn"]
    only(check_ports(None), "ok", "none is configured")
    os.close(near)
    os.close(far)


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (BrokerProbe("b:1883", "b:1883: nothing listens there", tls=False), [("fail", "nothing listens there")]),
        (BrokerProbe("localhost:1883", "", tls=False), [("ok", "accepts us")]),
        (BrokerProbe("b:1883", "", tls=False), [("ok", "accepts us"), ("warn", "unencrypted")]),
        (BrokerProbe("b:8883", "", True, NOW_S + 90 * DAY_S), [("ok", "over TLS"), ("ok", "valid for 90 days")]),
        (BrokerProbe("b:8883", "", True, NOW_S + 9 * DAY_S), [("ok", "over TLS"), ("warn", "expires in 9 days")]),
        (
            BrokerProbe("b:8883", "", True, None, "own.pem", NOW_S - 3 * DAY_S),
            [("ok", "over TLS"), ("fail", "own.pem, this device's certificate, expired 3 days ago")],
        ),
        (BrokerProbe("b:8883", "", True, None, "own.pem", None), [("ok", "over TLS"), ("warn", "openssl")]),
    ],
)
def test_brokers_and_certificates(probe, expected) -> None:
    findings = list(check_broker(probe, NOW_S))
    assert [finding.level for finding in findings] == [level for level, _ in expected]
    for finding, (_, word) in zip(findings, expected, strict=True):
        assert word in finding.message + " " + finding.fix


def test_each_broker_is_tried_once() -> None:
    mine, other = BrokerConfig(host="a"), BrokerConfig(host="b")
    sources = (MqttConfig(), MqttConfig(broker=other, topic="x/+"), MqttConfig(broker=other, topic="y/+"))
    config = ServiceConfig(source=sources, broker=mine)
    assert brokers_of(config) == {mine: "ecg-nat/v1/ecg-edge/+/commands", other: "x/+"}


@pytest.mark.parametrize(
    ("clock", "level", "word"),
    [
        (Clock(NOW_S, synchronised=True), "ok", "2027-01-15"),
        (Clock(NOW_S, synchronised=False), "warn", "set-ntp true"),
        (Clock(NOW_S, synchronised=None), "warn", "not known"),
        (Clock(0.0, synchronised=True), "fail", "1970-01-01"),
    ],
)
def test_the_clock(clock, level, word) -> None:
    only(check_clock(clock), level, word)


def test_the_kernel_is_asked_without_systemd(monkeypatch) -> None:
    monkeypatch.setattr("edge.service.doctor.host.output_of", lambda *_: None)
    assert read_clock().synchronised in {True, False}
    monkeypatch.setattr("edge.service.doctor.host.output_of", lambda *_: "yes\n")
    assert read_clock().synchronised is True


def folder(**changes) -> Folder:
    return Folder(**{"path": "/var/lib/x", "exists": True, "writable": True, "free_mb": 5000.0, **changes})


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({}, "ok", "5000 MB free"),
        ({"exists": False}, "fail", "sudo install -d"),
        ({"writable": False}, "fail", "chown"),
        ({"free_mb": 100.0}, "fail", "needs 114"),
        ({"free_mb": 200.0}, "warn", "only 200 MB"),
    ],
)
def test_the_disk(changes, level, word) -> None:
    only(check_folder(folder(**changes), 50_000), level, word)


def test_folders_of_this_machine(tmp_path) -> None:
    found = inspect_folder(tmp_path)
    assert (found.exists, found.writable) == (True, True)
    assert found.free_mb > 0
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    assert not inspect_folder(tmp_path / "none").exists
    assert not inspect_folder(Path("/proc")).writable
    assert folders_of(ServiceConfig(source=(SyntheticConfig(),))) == []


def unit(**changes) -> dict[str, str]:
    return {"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active", "NRestarts": "2", **changes}


@pytest.mark.parametrize(
    ("facts", "level", "word"),
    [
        (None, "ok", "systemd does not run"),
        (unit(), "ok", "2 restarts"),
        (unit(LoadState="not-found"), "warn", "not installed"),
        (unit(ActiveState="failed", Result="watchdog"), "fail", "watchdog"),
        (unit(ActiveState="inactive", SubState="dead"), "warn", "systemctl start"),
    ],
)
def test_the_unit(facts, level, word) -> None:
    only(check_unit(facts), level, word)


def test_a_unit_that_runs_but_will_not_after_a_restart() -> None:
    first, second = check_unit(unit(UnitFileState="disabled"))
    assert (first.level, second.level) == ("warn", "ok")
    assert "systemctl enable" in first.fix


def test_programs_that_fail_or_are_not_installed_give_no_output() -> None:
    assert output_of("echo", "a") == "a\n"
    assert output_of("false") is None
    assert output_of("no-such-program-here") is None


def config_of(path, **classifier) -> ServiceConfig:
    return ServiceConfig(source=(SyntheticConfig(),), model=str(path), classifier=ClassifierConfig(**classifier))


def test_the_bundle_reproduces_its_golden_windows(tiny_bundle_path) -> None:
    hashes, golden = check_model(config_of(tiny_bundle_path))
    assert (hashes.level, golden.level) == ("ok", "ok")
    assert "tiny 1, 2 hashes" in hashes.message
    assert "largest difference" in golden.message


def test_a_bundle_that_does_not_fit(tmp_path, tiny_bundle_path) -> None:
    only(check_model(config_of(tmp_path / "none")), "fail", "no bundle")
    _, golden = check_model(config_of(tiny_bundle_path, precision="int8"))
    assert golden.level == "fail"
    assert "no graph of precision 'int8'" in golden.message
    wrong = ServiceConfig(source=(SyntheticConfig(),), model=str(tiny_bundle_path), alarm={"AFF": {}})
    assert "did you mean 'AF'" in [*check_model(wrong)][-1].message
