"""The configuration of sources, and what they import."""

import subprocess
import sys

import msgspec
import numpy as np
import pytest
import wfdb

from edge.core.errors import SourceError
from edge.sources.config import MqttConfig, SerialConfig, SourceConfig, SyntheticConfig, WfdbConfig
from edge.sources.mqtt_topic import MqttTopicSource
from edge.sources.opening import open_source
from edge.sources.serial_port import SerialPortSource
from edge.sources.synthetic import SyntheticSource
from edge.sources.wfdb_record import WfdbRecordSource


@pytest.mark.parametrize(
    ("config", "source"),
    [
        (SyntheticConfig(scenario="sinus:5"), SyntheticSource),
        (SerialConfig(port="/dev/ttyNONE"), SerialPortSource),
        (SerialConfig(port="/dev/ttyNONE", format="ascii"), SerialPortSource),
        (MqttConfig(), MqttTopicSource),
    ],
)
def test_each_kind_of_configuration_gives_its_source(config, source):
    with open_source(config) as opened:
        assert isinstance(opened, source)


def test_a_record_is_opened_by_its_path(tmp_path):
    signal = np.zeros((100, 1), np.int64)
    wfdb.wrsamp(
        "r", 250, ["mV"], ["II"], d_signal=signal, fmt=["16"], adc_gain=[200.0], baseline=[0], write_dir=tmp_path
    )
    with open_source(WfdbConfig(record=str(tmp_path / "r"))) as source:
        assert isinstance(source, WfdbRecordSource)
        assert sum(block.samples.shape[1] for block in source.blocks()) == 100
    with open_source(WfdbConfig(record=str(tmp_path / "r"), leads=("V5",))) as source:
        assert next(iter(source.blocks())).leads == ("V5",)
    with pytest.raises(ValueError, match="'x' is not a lead"):
        WfdbConfig(record="r", leads=("x",))


def test_the_kind_chooses_the_struct_and_unknown_keys_are_refused():
    plain = {"kind": "serial", "port": "/dev/ttyUSB0", "baud": 9600}
    assert msgspec.convert(plain, SourceConfig) == SerialConfig(port="/dev/ttyUSB0", baud=9600)
    with pytest.raises(msgspec.ValidationError, match="bauds"):
        msgspec.convert(plain | {"bauds": 1}, SourceConfig)


def test_without_wfdb_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(SourceError, match=r"ecg-nat\[data\]"):
        open_source(WfdbConfig(record="mitdb/208"))


def test_importing_every_source_does_not_import_wfdb():
    program = (
        "import sys, edge.sources.config, edge.sources.wfdb_record, edge.sources.serial_port, edge.sources.mqtt_topic; "
        "sys.exit('wfdb' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("silent_after_s", [0.0, -1.0, 3601.0, float("nan")])
def test_a_silence_limit_out_of_range_is_refused(silent_after_s):
    with pytest.raises(ValueError, match="silent_after_s"):
        SerialConfig(port="x", silent_after_s=silent_after_s)
    with pytest.raises(ValueError, match="silent_after_s"):
        MqttConfig(silent_after_s=silent_after_s)


def test_a_device_cannot_be_forgotten_at_once():
    with pytest.raises(ValueError, match="forget_after_s"):
        MqttConfig(forget_after_s=0.0)
