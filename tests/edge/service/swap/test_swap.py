"""A new bundle takes over in the real service, or is refused: subprocesses, a real broker, signals, kills."""

import json
import re
import signal
import subprocess
import threading
from datetime import datetime, timezone

import msgspec
import numpy as np
import pytest
from energy_bundle import LABELS, write_bundle
from feeder import FIBRILLATING, LOUD, Feeder
from running import EDGE, Watcher, config_text, service, stop
from waiting import wait_until

from calibration.bundle.signing import new_key, public_key, read_key, sign_bundle
from edge.__main__ import cli
from edge.bundle.manifest import load_bundle
from edge.core.errors import BundleError
from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import predictions_topic

HAIR_TRIGGER = tuple(msgspec.structs.replace(label, threshold=0.01) for label in LABELS)


@pytest.fixture
def device(request):
    return re.sub(r"[^A-Za-z0-9_-]", "-", request.node.name)[-40:]


@pytest.fixture
def watcher(broker, device):
    watcher = Watcher(broker, device)
    yield watcher
    watcher.close()


@pytest.fixture
def feeder(broker, device):
    feeder = Feeder(broker, f"test/{device}/bed/samples")
    yield feeder
    feeder.close()


@pytest.fixture
def text(tmp_path, broker, device):
    """Return a configuration with a state folder; `first` is its model."""
    (tmp_path / "state").mkdir()
    write_bundle(tmp_path / "first")

    def text(keys=(), probation_s=0.0, most_alarms_per_hour=0.5):
        sources = f"""
[publish]
predictions = true
[bundle]
state = "{tmp_path / "state"}"
public_keys = {json.dumps(list(keys))}
most_alarms_per_hour = {most_alarms_per_hour}
probation_s = {probation_s}
[[source]]
kind = "mqtt"
topic = "test/{device}/+/samples"
silent_after_s = 600
"""
        return config_text(broker, device, tmp_path / "first", sources)

    return text


def swap(tmp_path, bundle, timeout_s=100):
    """Run `ecg-edge swap` in this process; return why the bundle is refused, and nothing when it is accepted."""
    command = ["swap", str(bundle), "--config", str(tmp_path / "ecg-edge.toml"), "--timeout", str(timeout_s)]
    try:
        cli.main(command, standalone_mode=False)
    except BundleError as exc:
        return str(exc)
    return ""


class Asking(threading.Thread):
    """`swap` in a thread beside the test."""

    def __init__(self, tmp_path, bundle, timeout_s=100):
        super().__init__(daemon=True)
        self._answer = None
        self._arguments = tmp_path, bundle, timeout_s
        self.start()

    def run(self):
        self._answer = swap(*self._arguments)

    def answer(self):
        """Wait for the answer and return it."""
        self.join(110)
        return self._answer


def events(watcher):
    found = [json.loads(m.payload) for m in watcher.messages if m.topic.endswith("/events")]
    return [(event["type"].rpartition(".")[2], event["data"]["why"]) for event in found]


def serving_version(watcher):
    """Return the version of the bundle in the last status."""
    statuses = [json.loads(m.payload) for m in watcher.messages if m.topic.endswith("/status")]
    return statuses[-1]["bundle"]["version"] if statuses else None


@pytest.mark.timeout(200)
def test_refused_for_each_reason_then_accepted_then_kept(tmp_path, broker, device, watcher, feeder, text):
    """No window is lost; alerts name the bundle that decided; after a restart the last good bundle serves."""
    new_key(tmp_path / "key")
    key = read_key(tmp_path / "key")

    def signed(name, **changes):
        folder = write_bundle(tmp_path / name, **changes)
        sign_bundle(folder, key, datetime.now(timezone.utc))
        return folder

    signed("first")
    ends = Subscriber(BrokerConfig(host=broker[0], port=broker[1]), [predictions_topic(device, "bed")])
    with ends, service(tmp_path, text([public_key(key)])) as process:
        wait_until(lambda: serving_version(watcher) == "1", what="the service to be online")
        feeder.feed(30)
        command = [EDGE, "swap", write_bundle(tmp_path / "unsigned", version="n"), "--config"]
        asking = subprocess.run([*command, tmp_path / "ecg-edge.toml"], capture_output=True, text=True)
        assert asking.returncode == 1
        assert "ecg-edge: tiny n" in asking.stderr
        assert "not signed" in asking.stderr
        broken = signed("broken", version="b")
        (broken / "model.onnx").write_bytes(b"other")
        assert "SHA-256" in swap(tmp_path, broken)
        assert "golden windows" in swap(tmp_path, signed("other", version="o", golden_error=0.1))
        refusal = swap(tmp_path, signed("nervous", version="h", labels=HAIR_TRIGGER))
        assert re.search(r"alarms in 0\.01 h of stored ECG of 1 streams .*most_alarms_per_hour", refusal)
        asking = Asking(tmp_path, signed("second", version="2"))
        wait_until(lambda: serving_version(watcher) == "2", 90, "the bundle to serve")
        feeder.feed(2)  # a probation needs windows
        assert asking.answer() == ""
        feeder.feed(20, FIBRILLATING)
        wait_until(lambda: "AF" in watcher.raised(), what="the alarm")
        window_ends = [
            json.loads(ends.get(10).payload)["end_s"] for _ in range(feeder.seconds - 10)
        ]  # the first needs a settled filter
        assert window_ends == [float(second) for second in range(10, feeder.seconds)]
        stop(process)
    assert {a["data"]["bundle"]["version"] for a in watcher.alerts() if a["subject"] == "AF"} == {"2"}
    assert [result for result, _ in events(watcher)] == ["refused", "refused", "refused", "accepted"]
    count = len(watcher.messages)
    with service(tmp_path, text([public_key(key)])) as process:
        wait_until(lambda: len(watcher.messages) > count and watcher.states()[-1] == "online", what="the restart")
        assert serving_version(watcher) == "2"
        stop(process)


@pytest.mark.timeout(200)
def test_a_bundle_that_fails_on_probation_is_rolled_back_and_sighup_swaps(tmp_path, watcher, feeder, text):
    """A bundle that fails on probation is rolled back; an alarm goes on; SIGHUP swaps to what the file names then."""
    weak, second = write_bundle(tmp_path / "weak", version="weak", limit=2.0), write_bundle(tmp_path / "s", version="2")
    with service(tmp_path, text(probation_s=600, most_alarms_per_hour=60)) as process:
        wait_until(lambda: serving_version(watcher) == "1", what="the service to be online")
        feeder.feed(30)
        asking = Asking(tmp_path, weak)
        wait_until(lambda: serving_version(watcher) == "weak", 90, "the bundle to serve")
        feeder.feed(20, LOUD)
        assert "rolled back: the model gives outputs that are not numbers" in asking.answer()
        wait_until(
            lambda: serving_version(watcher) == "1" and "VT" in watcher.raised(), what="the alarm of the one before"
        )
        assert not (tmp_path / "state" / "bundles" / "current").exists()
        config = tmp_path / "ecg-edge.toml"
        config.write_text(config.read_text().replace(str(tmp_path / "first"), str(second)))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: serving_version(watcher) == "2", 90, "the other bundle")
        stop(process)
    assert [result for result, _ in events(watcher)] == ["rolled_back"]
    raised = [a["subject"] for a in watcher.alerts() if a["type"].endswith("raised") and a["subject"] in {"AF", "VT"}]
    assert sorted(raised) == ["AF", "VT"]  # an alarm that both have goes on


@pytest.mark.timeout(200)
def test_killed_at_any_instant_it_starts_with_the_last_good_bundle(tmp_path, watcher, feeder, text):
    """After each kill it starts with the bundle that `current` names; the one who asked is told to ask again."""
    draw, bundles = np.random.default_rng(1), [write_bundle(tmp_path / name, version=name) for name in ("a", "b")]
    expected = "1"
    for round_ in range(3):
        count = len(watcher.messages)
        with service(tmp_path, text()) as process:
            wait_until(lambda n=count: len(watcher.messages) > n and watcher.states()[-1] == "online", what="the start")
            assert serving_version(watcher) == expected
            feeder.feed(15)
            asking = Asking(tmp_path, bundles[round_ % 2], timeout_s=5)
            asking.join(draw.uniform(0.2, 4))
            feeder.feed(2)
            process.kill()
            process.wait()
            asking.answer()
        current = tmp_path / "state" / "bundles" / "current"
        if current.exists():
            expected = load_bundle(current.parent / json.loads(current.read_bytes())["sha256"]).manifest.version


@pytest.mark.timeout(200)
def test_a_bundle_that_fails_after_its_probation_is_replaced_at_the_next_start(tmp_path, watcher, feeder, text):
    """The service used to start again and again with the bundle that had made it fail, even if the file names it."""
    weak = write_bundle(tmp_path / "weak", version="weak", limit=2.0)
    with service(tmp_path, text(most_alarms_per_hour=60)) as process:
        wait_until(lambda: serving_version(watcher) == "1", what="the service to be online")
        feeder.feed(15)
        changed = (tmp_path / "ecg-edge.toml").read_text().replace(str(tmp_path / "first"), str(weak))
        (tmp_path / "ecg-edge.toml").write_text(changed)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: serving_version(watcher) == "weak", 90, "the bundle to serve")
        feeder.feed(2)
        wait_until(lambda: events(watcher)[-1:] == [("accepted", "")], what="the end of the probation")
        feeder.feed(20, LOUD)
        assert process.wait(30) == 1
    assert [result for result, _ in events(watcher)] == ["accepted", "rolled_back"]
    assert "not numbers" in events(watcher)[-1][1]
    count = len(watcher.messages)
    with service(tmp_path, changed) as process:
        wait_until(lambda: len(watcher.messages) > count and watcher.states()[-1] == "online", what="the restart")
        assert serving_version(watcher) == "1"
        stop(process)


def test_a_swap_without_a_running_service_fails_at_once(tmp_path, text):
    (tmp_path / "ecg-edge.toml").write_text(text())
    assert "no service runs" in swap(tmp_path, tmp_path / "first")
