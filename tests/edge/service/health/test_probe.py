"""The health of a real runtime whose classifier waits for a while."""

import threading

import numpy as np
import pytest
from hearts import beating
from waiting import free_port, wait_until

from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import BundleRef
from edge.classifiers.base import ActiveBackend, ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.core.samples import Block, Cause
from edge.monitor.runtime import MonitorRuntime
from edge.mqtt.client import BrokerConfig
from edge.publish.health import MAX_STREAMS, DeviceHealth
from edge.publish.payloads import decode, encode
from edge.publish.sink import AlertSink, new_publisher
from edge.service.health.probe import HealthProbe
from edge.service.source_threads import SourcesState

RATE = 250


class Held:
    """A classifier that waits until it may go on."""

    def __init__(self, classifier, may_go_on):
        self._classifier, self._may_go_on = classifier, may_go_on

    def classify(self, signal, keep):
        assert self._may_go_on.wait(10)
        return self._classifier.classify(signal, keep)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._classifier.close()


@pytest.fixture
def may_go_on():
    return threading.Event()


@pytest.fixture
def parts(tiny_bundle, may_go_on):
    """Return a runtime that is not started, and a probe of it."""
    publisher = new_publisher(BrokerConfig(port=free_port()), "dev", tiny_bundle)
    opener = lambda: Held(open_classifier(tiny_bundle, ClassifierConfig()), may_go_on)  # noqa: E731  shorter
    runtime = MonitorRuntime(
        tiny_bundle.manifest, opener, alarm_specs(tiny_bundle.manifest.labels), AlertSink(publisher)
    )
    sources = SourcesState({"garbage_bytes": 3}, {"s1": 250.0123}, 2)
    bundle = BundleRef(name="tiny", version="1", sha256="0")
    return runtime, HealthProbe(runtime, publisher, bundle, lambda: sources, lambda: 7)


def block(stream, seconds, lost_s=0):
    samples, _ = beating(seconds, leads=1, rate=RATE)
    missing = np.zeros(samples.shape, np.uint8)
    missing[:, : lost_s * RATE] = Cause.CRC
    return Block(stream, RATE, ("II",), 0, samples, missing, 0.0)


def test_waiting_windows_are_shown_and_decided_ones_counted(parts, may_go_on) -> None:
    runtime, probe = parts
    before = probe.read()
    assert (before.backend, before.queue.windows, before.queue.oldest_s, before.latency.p50_ms) == (None, 0, 0.0, None)
    probe.set_classifier(ActiveBackend("onnxruntime", "fp32"))
    with runtime:
        runtime.push(block("s1", 12))
        wait_until(lambda: probe.read().queue.oldest_s > 0.01, what="an old window")
        held = probe.read()
        may_go_on.set()
        wait_until(lambda: probe.read().windows == 2, what="the decisions")
        wait_until(lambda: probe.read().queue.oldest_s == 0, what="an empty queue")
        after = probe.read()
    assert held.samples_in == held.pending == 12 * RATE
    assert (held.windows, held.classified) == (0, 0)
    assert (after.classified, after.pending, after.latency.windows) == (11 * RATE, RATE, 2)
    assert after.latency.p99_ms > 10
    assert (after.backend, after.precision, after.blocks_refused) == ("onnxruntime", "fp32", 2)
    assert after.blocks_unkept == 7
    assert after.source_events == {"garbage_bytes": 3}
    assert after.streams["s1"].true_rate_hz == 250.0123
    assert after.publisher.outbox is None
    assert decode(encode(after), DeviceHealth) == after


def test_the_listed_streams_are_bounded_and_the_sums_include_all(parts, may_go_on) -> None:
    runtime, probe = parts
    may_go_on.set()
    with runtime:
        for number in range(MAX_STREAMS + 6):
            runtime.push(block(f"s{number}", 3, lost_s=1))
        health = probe.read()
    assert health.streams_open == MAX_STREAMS + 6
    assert list(health.streams) == [f"s{number}" for number in range(MAX_STREAMS)]
    assert health.samples_in == (MAX_STREAMS + 6) * 3 * RATE
    assert health.missing == {"crc": (MAX_STREAMS + 6) * RATE}
    assert health.streams["s3"].missing == {"crc": RATE}
    assert health.pending == (MAX_STREAMS + 6) * 2 * RATE
    assert len(encode(health)) < 32_000
