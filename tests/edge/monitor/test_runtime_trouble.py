"""A runtime whose classifier is too slow or fails: shed samples are counted, and failures are raised."""

import itertools
import threading
from functools import partial

import numpy as np
import pytest
from msgspec.structs import replace
from tones import RATE, RecordingSink, balanced, block, new_runtime, tone
from waiting import wait_until

from edge.alarms.specs import AlarmOverride, alarm_specs
from edge.core.errors import BundleError
from edge.core.samples import Cause
from edge.monitor.runtime import MonitorRuntime


@pytest.fixture(scope="module")
def start(tiny_bundle):
    """Return what makes a runtime for a sink."""
    return partial(new_runtime, tiny_bundle)


class Blocked:
    """A classifier that waits until a gate opens."""

    def __init__(self, gate):
        self.gate = gate

    def classify(self, signal, keep):
        self.gate.wait()
        return np.zeros((len(signal), 4), np.float32)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


def test_overload_sheds_windows_and_counts_them(start):
    gate = threading.Event()
    runtime = start(RecordingSink(), opener=lambda: Blocked(gate), shed=True, queue_windows=4, max_batch=2)
    with runtime:
        runtime.push(block(tone(40)))
        runtime.push(block(tone(20), 40 * RATE, missing=np.full((1, 20 * RATE), Cause.LEAD_OFF, np.uint8)))
        gate.set()
    totals = runtime.totals()
    assert balanced(totals)
    assert totals.classified > 10 * RATE
    assert totals.missing["shed"] == 40 * RATE - totals.classified, "good samples were lost to nothing else"
    assert totals.windows == 51


class Slow:
    """A stand-in for a graph that takes 20 ms a window until it is made fast, and finds nothing."""

    def __init__(self):
        self.fast = threading.Event()

    def classify(self, signal, keep):
        self.fast.wait(0.02 * len(signal))
        return np.zeros((len(signal), 4), np.float32)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


def test_overload_is_raised_on_every_stream_and_ends_by_itself(tiny_bundle):
    """Twenty streams send more than can be decided, then less: OVERLOAD is raised once on each, and cleared."""
    spec = replace(tiny_bundle.manifest.input, window_s=1.0, hop_s=0.1)
    manifest = replace(tiny_bundle.manifest, input=spec)
    specs = alarm_specs(manifest.labels, {"OVERLOAD": AlarmOverride(on_delay_s=1.0, off_delay_s=1.0)})
    sink, streams, hops = RecordingSink(), {f"s{k}" for k in range(20)}, itertools.count()
    hop, slow = round(0.1 * RATE), Slow()
    with MonitorRuntime(manifest, lambda: slow, specs, sink, shed=True, queue_windows=64) as runtime:

        def push_one_hop():
            first = next(hops) * hop
            for stream in streams:
                runtime.push(block(tone(0.1), first, stream))

        def on_all(kind):
            return {event[0] for event in sink.events if event[1:3] == ("OVERLOAD", kind)} == streams

        def cleared():
            before = runtime.totals().windows
            push_one_hop()
            wait_until(lambda: runtime.totals().windows >= before + len(streams), what="the decision of what waits")
            return on_all("cleared")

        while not on_all("raised"):
            push_one_hop()
        overloaded = runtime.totals()
        slow.fast.set()
        wait_until(cleared, 60.0, what="its end")
    totals = runtime.totals()
    assert balanced(totals)
    assert totals.shed_windows >= overloaded.shed_windows > 100
    assert len([event for event in sink.events if event[1:3] == ("OVERLOAD", "raised")]) == len(streams)


def test_a_classifier_that_does_not_open_is_an_error_at_once(start):
    def opener():
        raise BundleError("no such graph")

    with pytest.raises(BundleError, match="no such graph"), start(RecordingSink(), opener=opener):
        pytest.fail("the runtime started without a classifier")


class Broken(Blocked):
    """A classifier that fails."""

    def classify(self, signal, keep):
        raise BundleError("the device is gone")


def test_a_classifier_that_failed_takes_no_more_blocks(start):
    """The queue had room for 256 windows, so a live source went on for minutes without being monitored."""
    refused = []

    def feed(runtime):
        runtime.push(block(tone(11)))
        wait_until(lambda: not runtime.alive)
        try:
            runtime.push(block(tone(1), 11 * RATE))
        except BundleError as exc:
            refused.append(str(exc))

    with pytest.raises(BundleError), start(RecordingSink(), opener=lambda: Broken(None)) as runtime:
        feed(runtime)
    assert refused == ["the device is gone"]


class NotANumber(Blocked):
    """A classifier whose arithmetic overflows."""

    def classify(self, signal, keep):
        return np.full((len(signal), 4), np.nan, np.float32)


def test_outputs_that_are_not_numbers_are_an_error(start):
    """NaN is over no threshold, so a broken graph looked like a healthy patient."""
    with (
        pytest.raises(BundleError, match="not numbers"),
        start(RecordingSink(), opener=lambda: NotANumber(None)) as runtime,
    ):
        runtime.push(block(tone(11)))


def test_a_classifier_that_fails_ends_the_source_and_does_not_hang(start):
    with (
        pytest.raises(BundleError, match="the device is gone"),
        start(RecordingSink(), opener=lambda: Broken(None), queue_windows=2) as runtime,
    ):
        runtime.run(block(tone(1), n * RATE) for n in range(1000))
