"""The runtime: many streams, one classifier, every sample accounted for, failures told."""

import itertools
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from waiting import wait_until

from edge.alarms.specs import AlarmOverride, alarm_specs
from edge.classifiers.base import ClassifierConfig, open_classifier
from edge.errors import BundleError, StreamError
from edge.framing.order import StreamOrder
from edge.runtime import MAX_GAP_S, Runtime
from edge.samples import Block, Cause
from edge.stream.silence import Silence

RATE = 250


class Record:
    """A sink that keeps what it is told."""

    def __init__(self):
        self.decisions = []
        self.events = []

    def __call__(self, monitor, decision, events, latency_s):
        assert latency_s >= 0
        if decision is not None:
            self.decisions.append((monitor.stream, decision))
        self.events += [(event.stream, event.spec.label, event.what, event.end_sample) for event in events]


def block(samples, first=0, stream="s", **changes):
    fields = {
        "stream": stream,
        "sample_rate_hz": RATE,
        "leads": ("II",),
        "first_sample": first,
        "samples": samples,
        "missing": np.zeros(samples.shape, np.uint8),
        "device_time_s": first / RATE,
    }
    return Block(**{**fields, **changes})


def tone(seconds, amplitude=0.1):
    """Return an oscillation whose mean square the tiny bundle turns into probabilities."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 8 * time))[None].astype(np.float32)


@pytest.fixture
def start(tiny_bundle):
    def start(sink, **options):
        manifest = tiny_bundle.manifest
        opener = options.pop("opener", lambda: open_classifier(tiny_bundle, ClassifierConfig()))
        return Runtime(manifest, opener, alarm_specs(manifest.labels), sink, **options)

    return start


def balanced(totals):
    return totals.samples_in == totals.classified + sum(totals.missing.values()) + totals.pending


def test_a_stream_becomes_alarms(start):
    samples = np.concatenate([tone(20), tone(30, amplitude=0.6), tone(30)], axis=1)
    sink = Record()
    with start(sink) as runtime:
        runtime.run([block(samples[:, k : k + 50], k) for k in range(0, samples.shape[1], 50)])
        runtime.end("s")
    raised = [event for event in sink.events if event[1:3] == ("AF", "raised")]
    cleared = [event for event in sink.events if event[1:3] == ("AF", "cleared")]
    assert len(raised) == len(cleared) == 1
    assert 20 * RATE < raised[0][3] <= 34 * RATE
    assert raised[0][3] < cleared[0][3]
    totals = runtime.totals()
    assert (totals.samples_in, totals.classified, totals.pending) == (samples.shape[1], samples.shape[1], 0)
    assert totals.windows == len(sink.decisions) == 71


def test_silence_raises_an_alarm_and_a_backlog_takes_it_back(start):
    """A device is quiet for 40 s, then sends all that it kept: each of its instants is counted once."""
    samples, sink, silence = tone(100), Record(), Silence(2.0)
    parts = [block(samples[:, k : k + RATE], k) for k in range(0, samples.shape[1], RATE)]
    with start(sink) as runtime:
        for second, part in enumerate(parts[:50]):
            runtime.run(silence.heard(part, float(second)))
        for tick in range(400):
            runtime.run(silence.tick(49.0 + tick / 10))
        quiet = runtime.totals()
        for part in parts[50:]:
            runtime.run(silence.heard(part, 90.0))
        runtime.end("s")
    no_data = [event[2] for event in sink.events if event[1] == "NO_DATA"]
    assert no_data == ["raised", "cleared"]
    assert quiet.missing["silent"] > 35 * RATE
    totals = runtime.totals()
    assert balanced(totals)
    assert totals.samples_in == totals.classified == 100 * RATE
    assert totals.duplicates == 0


def test_many_streams_at_once_and_each_in_its_order(start):
    sink = Record()
    streams = [f"s{k}" for k in range(20)]
    with start(sink) as runtime:
        threads = [
            threading.Thread(
                target=runtime.run,
                args=([block(tone(1, 0.1 + k / 20), n * RATE, name, last=n == 29) for n in range(30)],),
            )
            for k, name in enumerate(streams)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in streams:
        ends = [decision.end_sample for stream, decision in sink.decisions if stream == name]
        assert ends == [RATE * (10 + n) for n in range(21)]
    totals = runtime.totals()
    assert totals.classified == totals.samples_in == 20 * 30 * RATE


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_the_account_balances_at_any_moment_whatever_is_lost(start_session, data):
    runtime, sink = start_session()
    position = 0
    with runtime:
        for _ in range(data.draw(st.integers(1, 25))):
            position += data.draw(st.sampled_from([0, 0, 0, 1, 30, 700, int(MAX_GAP_S * RATE) + 9]))
            samples = tone(data.draw(st.floats(0.01, 3)))
            missing = np.zeros(samples.shape, np.uint8)
            missing[:, : data.draw(st.integers(0, samples.shape[1]))] = data.draw(
                st.sampled_from([Cause.LEAD_OFF, Cause.CRC])
            )
            back = data.draw(st.sampled_from([0, 0, 5]))
            runtime.push(block(samples, max(position - back, 0), missing=missing))
            position = max(position, max(position - back, 0) + samples.shape[1])
            assert balanced(runtime.totals())
    totals = runtime.totals()
    assert balanced(totals)
    assert totals.pending == 0
    assert totals.windows == len(sink.decisions)


@pytest.fixture(scope="module")
def start_session(tiny_bundle):
    def start():
        sink = Record()
        manifest = tiny_bundle.manifest
        opener = lambda: open_classifier(tiny_bundle, ClassifierConfig())  # noqa: E731  shorter than a function
        return Runtime(manifest, opener, alarm_specs(manifest.labels), sink), sink

    return start


def test_a_gap_is_a_gap(start):
    sink = Record()
    with start(sink) as runtime:
        runtime.run([block(tone(15)), block(tone(15), 20 * RATE)])
    totals = runtime.totals()
    assert totals.missing == {"sequence_gap": 5 * RATE}
    bad = [decision for _, decision in sink.decisions if not decision.good]
    assert {decision.cause for decision in bad} == {Cause.SEQUENCE_GAP}
    assert len(bad) == 14  # windows that end from 16 s to 29 s: the filter adds 0.1 s to each side of the gap


def test_what_comes_late_is_counted_once_as_late(start):
    """It is too late for a window, and no longer a gap; once more it is a repetition, and in the end all adds up."""
    with start(Record()) as runtime:
        second = RATE
        order = StreamOrder(Counter())
        for k in (0, 1, 4, 2, 2, 3, 0, 5):
            runtime.run(order.add(block(tone(1), k * second)))
            assert balanced(runtime.totals())
    totals = runtime.totals()
    assert (totals.samples_in, totals.missing["late"]) == (6 * second, 2 * second)
    assert "sequence_gap" not in totals.missing


def test_a_repeated_block_counts_once(start):
    with start(Record()) as runtime:
        runtime.run([block(tone(9)), block(tone(9)), block(tone(20))])
    totals = runtime.totals()
    assert (totals.samples_in, totals.duplicates) == (20 * RATE, 18 * RATE)


def test_a_new_epoch_begins_anew(start):
    sink = Record()
    with start(sink) as runtime:
        runtime.run([block(tone(12), epoch="a"), block(tone(12), epoch="b")])
    assert [decision.end_sample for _, decision in sink.decisions] == [2500, 2750, 3000] * 2
    assert runtime.totals().samples_in == 24 * RATE


def test_a_device_that_counts_anew_without_saying_so_loses_nothing(start):
    """A device rebooted, and every sample counted as a duplicate until it had caught up with the old count."""
    sink = Record()
    samples = tone(60)
    with start(sink) as runtime:
        runtime.run([block(samples), block(tone(20))])
    assert runtime.totals().classified == 80 * RATE
    assert [decision.end_sample for _, decision in sink.decisions][-11:] == [RATE * (10 + n) for n in range(11)]


def test_alarms_of_a_stream_that_begins_again_have_other_ids(start):
    ids = []
    loud = np.concatenate([tone(12), tone(20, 0.6)], axis=1)

    def sink(monitor, decision, events, latency_s):
        ids.extend(event.id for event in events)

    with start(sink) as runtime:
        runtime.run([block(loud, last=True), block(loud, last=True), block(loud, epoch="2", last=True)])
    assert len(ids) >= 6
    assert len(set(ids)) == len(ids)


def test_a_device_that_goes_to_and_fro_between_sessions_gives_no_id_twice(start):
    """Session 1, then 2, then 1 again with the same sample count: the second alarm had the id of the first."""
    ids = []
    loud = np.concatenate([tone(12), tone(20, 0.6)], axis=1)

    def sink(monitor, decision, events, latency_s):
        ids.extend(event.id for event in events)

    with start(sink) as runtime:
        runtime.run([block(loud, epoch=epoch) for epoch in ("1", "2", "1", "2")])
    assert len(ids) >= 8
    assert len(set(ids)) == len(ids)


def test_alarms_of_two_runs_of_a_service_have_other_ids(start):
    """A device that counts from 0 after each restart of the service raised its first alarm by the same id again."""
    ids = []
    loud = np.concatenate([tone(12), tone(20, 0.6)], axis=1)

    def sink(monitor, decision, events, latency_s):
        ids.extend(event.id for event in events)

    for session in ("a", "b"):
        with start(sink, session=session) as runtime:
            runtime.push(block(loud))
    assert len(ids) >= 4
    assert len(set(ids)) == len(ids)


def test_stream_time_begins_at_sample_0_wherever_the_stream_was_joined(start):
    sink = Record()
    with start(sink) as runtime:
        runtime.push(block(tone(12), 1000 * RATE))
    assert [decision.end_s for _, decision in sink.decisions] == [1010, 1011, 1012]
    assert [decision.end_sample for _, decision in sink.decisions] == [1010 * RATE, 1011 * RATE, 1012 * RATE]


def test_no_rhythm_alarm_comes_from_a_window_that_was_not_good(start):
    """A tone that would raise AF and VT at once, in a stream whose electrode is off, raises a technical alarm."""
    samples = tone(30, amplitude=2)
    sink = Record()
    with start(sink) as runtime:
        runtime.push(block(samples, missing=np.full(samples.shape, Cause.LEAD_OFF, np.uint8)))
    assert {label for _, label, what, _ in sink.events if what == "raised"} == {"LEAD_OFF"}
    assert runtime.totals().missing == {"lead_off": 30 * RATE}


@pytest.mark.parametrize("changes", [{"leads": ("V1",)}, {"sample_rate_hz": 500}])
def test_a_stream_that_changes_midway_is_refused(start, changes):
    with start(Record()) as runtime:
        runtime.push(block(tone(1)))
        with pytest.raises(StreamError, match="new epoch"):
            runtime.push(block(tone(1), RATE, **changes))


@pytest.mark.parametrize("changes", [{"leads": ("resp",)}, {"sample_rate_hz": 7}, {"sample_rate_hz": float("nan")}])
def test_a_stream_that_cannot_be_used_is_refused_and_the_others_go_on(start, changes):
    with start(Record()) as runtime:
        with pytest.raises(StreamError):
            runtime.push(block(tone(1), **changes))
        runtime.push(block(tone(12), stream="good"))
    assert runtime.totals().samples_in == 12 * RATE


class Blocked:
    """A classifier that waits until it is let go."""

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
    runtime = start(Record(), opener=lambda: Blocked(gate), shed=True, queue_windows=4, max_batch=2)
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
    """A stand-in for a graph that takes 20 ms a window until it is let go, and finds nothing."""

    def __init__(self):
        self.let_go = threading.Event()

    def classify(self, signal, keep):
        self.let_go.wait(0.02 * len(signal))
        return np.zeros((len(signal), 4), np.float32)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


def test_overload_is_told_on_every_stream_and_ends_by_itself(tiny_bundle):
    """Twenty streams send more than can be decided, then less: OVERLOAD is raised once on each, and cleared."""
    spec = replace(tiny_bundle.manifest.input, window_s=1.0, hop_s=0.1)
    manifest = replace(tiny_bundle.manifest, input=spec)
    specs = alarm_specs(manifest.labels, {"OVERLOAD": AlarmOverride(on_delay_s=1.0, off_delay_s=1.0)})
    sink, streams, hops = Record(), {f"s{k}" for k in range(20)}, itertools.count()
    hop, slow = round(0.1 * RATE), Slow()
    with Runtime(manifest, lambda: slow, specs, sink, shed=True, queue_windows=64) as runtime:

        def hear_a_hop_more():
            first = next(hops) * hop
            for stream in streams:
                runtime.push(block(tone(0.1), first, stream))

        def on_all(what):
            return {event[0] for event in sink.events if event[1:3] == ("OVERLOAD", what)} == streams

        def cleared():
            before = runtime.totals().windows
            hear_a_hop_more()
            wait_until(lambda: runtime.totals().windows >= before + len(streams), what="the decision of what waits")
            return on_all("cleared")

        while not on_all("raised"):
            hear_a_hop_more()
        overloaded = runtime.totals()
        slow.let_go.set()
        wait_until(cleared, 60.0, what="its end")
    totals = runtime.totals()
    assert balanced(totals)
    assert totals.shed_windows >= overloaded.shed_windows > 100
    assert len([event for event in sink.events if event[1:3] == ("OVERLOAD", "raised")]) == len(streams)


def test_a_classifier_that_does_not_open_is_told_at_once(start):
    def opener():
        raise BundleError("no such graph")

    with pytest.raises(BundleError, match="no such graph"), start(Record(), opener=opener):
        pytest.fail("the runtime started without a classifier")


class Broken(Blocked):
    """A classifier that fails."""

    def classify(self, signal, keep):
        raise BundleError("the device is gone")


def test_a_classifier_that_failed_takes_no_more_blocks_though_there_is_room(start):
    """With room for 256 windows a source at real time went on for minutes, watched by nobody."""
    refused = []

    def feed(runtime):
        runtime.push(block(tone(11)))
        wait_until(lambda: not runtime.alive)
        try:
            runtime.push(block(tone(1), 11 * RATE))
        except BundleError as exc:
            refused.append(str(exc))

    with pytest.raises(BundleError), start(Record(), opener=lambda: Broken(None)) as runtime:
        feed(runtime)
    assert refused == ["the device is gone"]


class Numberless(Blocked):
    """A classifier whose arithmetic overflows."""

    def classify(self, signal, keep):
        return np.full((len(signal), 4), np.nan, np.float32)


def test_outputs_that_are_no_numbers_are_told(start):
    """They are over no threshold, so a broken graph was a quiet patient."""
    with pytest.raises(BundleError, match="no numbers"), start(Record(), opener=lambda: Numberless(None)) as runtime:
        runtime.push(block(tone(11)))


def test_a_classifier_that_fails_ends_the_source_and_does_not_hang(start):
    with (
        pytest.raises(BundleError, match="the device is gone"),
        start(Record(), opener=lambda: Broken(None), queue_windows=2) as runtime,
    ):
        runtime.run(block(tone(1), n * RATE) for n in range(1000))
