"""The configuration file: the example shows every key, and a mistake is an error of one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ecg_edge

from edge.bundle.shipped import find_bundle
from edge.core.errors import BundleError, ConfigError
from edge.service.config import ServiceConfig, read_config

ROOT = Path(__file__).parents[3]


def test_the_example_configuration_is_valid_and_shows_the_defaults():
    text = (ROOT / "deploy" / "ecg-edge.example.toml").read_text()
    config = read_config(ROOT / "deploy" / "ecg-edge.example.toml")
    assert config == ServiceConfig(source=config.source)
    for key in (
        "ca_file",
        "cert_file",
        "key_file",
        "username",
        "password_file",
        "scenario",
        "record",
        "baud",
        "latch",
        "outbox",
    ):
        assert re.search(rf"\b{key} = ", text), f"{key} is not shown"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "source"),
        ("[[source]]\nkind = 'pigeon'", "pigeon"),
        ("[[source]]\nkind = 'wfdb'\nrecrod = 'x'", "did you mean `record`"),
        ("[brokr]\n[[source]]\nkind = 'synthetic'", "did you mean `broker`"),
        ("[broker]\nport = 0\n[[source]]\nkind = 'synthetic'", "address"),
        ("[device]\nid = 'Jane Doe'\n[[source]]\nkind = 'synthetic'", "Jane Doe"),
        ("[publish]\noutbox_messages = 0\n[[source]]\nkind = 'synthetic'", "outbox_messages"),
        ("source = [", "Invalid"),
        ("[classifier]\nthreads = 0\n[[source]]\nkind = 'synthetic'", "threads"),
        ("\xff", "toml"),
        ("[[source]]\nkind = 'synthetic'\n[[source]]\nkind = 'synthetic'", "give each its own `stream`"),
        ("[[source]]\nkind = 'serial'\nport = 'x'\nstream = 'Jane Doe'", "Jane Doe"),
        ("[[source]]\nkind = 'serial'\nport = 'x'\nbaud = 0", "baud"),
        ("[[source]]\nkind = 'serial'\nport = 'x'\nadc_max = 99999999999", "adc_max"),
        ("[[source]]\nkind = 'mqtt'\nqueue_payloads = 0", "queue_payloads"),
        ("[[source]]\nkind = 'mqtt'\nmax_streams = 0", "max_streams"),
        ("[[source]]\nkind = 'wfdb'\nrecord = 'a/b'\nblock_s = -1", "block_s"),
        ("[[source]]\nkind = 'synthetic'\nspeed = nan", "speed"),
        ("[publish]\nqueue_messages = 0\n[[source]]\nkind = 'synthetic'", "queue_messages"),
        ("[health]\ninterval_s = 0.1\n[[source]]\nkind = 'synthetic'", "interval_s"),
        ("[health]\nmetrics_port = 70000\n[[source]]\nkind = 'synthetic'", "metrics_port"),
        ("[publish]\noutbox_messages = 1000001\n[[source]]\nkind = 'synthetic'", "outbox_messages"),
    ],
)
def test_a_wrong_configuration_is_an_error_of_one_line(tmp_path, text, word):
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert word in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_alarm_is_refused(tmp_path, tiny_bundle_path):
    path = tmp_path / "c.toml"
    path.write_text(f'model = "{tiny_bundle_path}"\n[alarm.AFF]\nlatch = true\n[[source]]\nkind = "synthetic"')
    result = ecg_edge("run", "--config", path, "--check")
    assert result.returncode == 1
    assert "did you mean 'AF'" in result.stderr


def test_the_error_for_an_unknown_bundle_names_the_shipped_ones():
    with pytest.raises(BundleError, match="rhythm"):
        find_bundle("rythm")


def test_the_json_schema_describes_every_property():
    printed = subprocess.run(
        [sys.executable, "-m", "edge.service.config_schema"], capture_output=True, text=True, timeout=60
    )
    structs = json.loads(printed.stdout)["$defs"]
    assert {"ServiceConfig", "BrokerConfig", "MqttConfig", "AlarmOverride"} <= structs.keys()
    bare = [
        f"{name}.{key}"
        for name, struct in structs.items()
        for key, value in struct["properties"].items()
        if "description" not in value
    ]
    assert bare == []
