"""One model takes over from another: no instant is lost, whether it is confirmed or rolled back."""

import msgspec
import numpy as np
import pytest
from energy_bundle import energy_probabilities
from tones import RATE, block, tone
from waiting import wait_until

from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import InputSpec
from edge.core.errors import BundleError
from edge.monitor.model import Model
from edge.monitor.model_switch import Swap
from edge.monitor.runtime import MonitorRuntime

SHORT = InputSpec(sample_rate_hz=50, window_s=5, hop_s=0.5, min_coverage=0.9)
LONG = InputSpec(sample_rate_hz=100, window_s=20, hop_s=2, min_coverage=0.9)


class Energy:
    """A classifier that fails after so many runs: it raises, or its outputs are not numbers."""

    def __init__(self, good_runs=None, numberless=False):
        self.left, self.numberless = np.inf if good_runs is None else good_runs, numberless

    def classify(self, signal, keep):
        self.left -= 1
        if self.left < 0 and not self.numberless:
            raise RuntimeError("the graph gave up")
        outputs = energy_probabilities(signal, keep)
        return outputs * np.nan if self.left < 0 else outputs

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


class RecordingSink:
    """A sink that keeps each decision with the model that made it."""

    def __init__(self):
        self.decisions = []
        self.events = []

    def __call__(self, update):
        if update.decision is not None:
            self.decisions.append((update.decision, update.monitor.model.manifest.version))
        self.events += [(event.spec.label, event.kind, event.reason) for event in update.events]

    def ends(self):
        return [decision.end_sample for decision, _ in self.decisions]


@pytest.fixture
def manifests(tiny_bundle):
    """Return manifests by name: `first`, and others that differ in labels or in how windows are cut."""
    first = tiny_bundle.manifest
    renamed = (first.labels[0], msgspec.structs.replace(first.labels[1], abbreviation="AFL"), *first.labels[2:])
    odd = msgspec.structs.replace(SHORT, sample_rate_hz=51.3, window_s=10, hop_s=10)
    changes = {"first": {}, "alike": {}, "renamed": {"labels": renamed}}
    changes |= {name: {"input": spec} for name, spec in {"short": SHORT, "long": LONG, "odd": odd}.items()}
    return {name: msgspec.structs.replace(first, version=name, **each) for name, each in changes.items()}


def model_of(manifest, good_runs=None, *, numberless=False):
    """Return a model that fails after so many runs."""
    return Model(manifest, lambda: Energy(good_runs, numberless), alarm_specs(manifest.labels))


@pytest.fixture
def start(manifests):
    def start(sink, **options):
        first = manifests["first"]
        return MonitorRuntime(first, Energy, alarm_specs(first.labels), sink, **options)

    return start


def swap(runtime, model, probation_s=0.0):
    """Ask for a swap, wait for its first phase, and return the list that collects the phases."""
    phases = []
    runtime.swap(Swap(model, probation_s, lambda phase, reason: phases.append((phase, reason)), 0.0))
    wait_until(lambda: bool(phases), what="an answer")
    return phases


def feed(runtime, samples, first=0, step=RATE // 2):
    """Push samples, and wait until all that they complete is decided."""
    for k in range(0, samples.shape[1], step):
        runtime.push(block(samples[:, k : k + step], first + k))
    wait_until(lambda: not runtime.alive or not runtime.backlog.windows)
    return first + samples.shape[1]


def check_all_classified(totals, instants):
    assert totals.samples_in == totals.classified == instants
    assert totals.pending == 0
    assert not totals.missing


def test_a_model_with_the_same_windows_decides_from_the_next_window(start, manifests):
    sink = RecordingSink()
    with start(sink) as runtime:
        end = feed(runtime, tone(20))
        phases = swap(runtime, model_of(manifests["alike"]))
        end = feed(runtime, tone(20), end)
    assert [phase for phase, _ in phases] == ["took_over", "confirmed"]
    assert sink.ends() == [RATE * (10 + n) for n in range(31)]
    assert [version for _, version in sink.decisions] == ["first"] * 10 + ["alike"] * 21
    check_all_classified(runtime.totals(), end)


def test_one_batch_is_enough_for_a_probation_of_0_s(start, manifests):
    """On a busy machine everything that waits is one batch, and the next one may be far away."""
    with start(RecordingSink()) as runtime:
        end = feed(runtime, tone(20))
        phases = swap(runtime, model_of(manifests["alike"]))
        feed(runtime, tone(1), end, step=RATE)
        wait_until(lambda: phases[-1][0] == "confirmed", what="the end of the probation")


def test_alarms_that_the_new_model_does_not_have_end_and_the_others_go_on(start, manifests):
    sink = RecordingSink()
    with start(sink) as runtime:
        end = feed(runtime, tone(30, amplitude=1.0))
        before = list(sink.events)
        phases = swap(runtime, model_of(manifests["renamed"]))
        feed(runtime, tone(5, amplitude=1.0), end)
        after = sink.events[len(before) :]
    assert {event[:2] for event in before} == {("AF", "raised"), ("VT", "raised")}
    assert phases[0] == ("took_over", "")
    assert after[0] == ("AF", "cleared", "model_changed")
    assert [event[:2] for event in after[1:]] == [("AFL", "raised")]  # VT is on as it was


@pytest.mark.parametrize("name", ["short", "long"])
def test_a_model_with_other_windows_leaves_no_instant_out(start, manifests, name):
    """The old model decides until the first window of the new kind is full; from then on the new one does."""
    sink = RecordingSink()
    with start(sink) as runtime:
        end = feed(runtime, tone(20.3))
        phases = swap(runtime, model_of(manifests[name]))
        end = feed(runtime, tone(45), end)
    assert [phase for phase, _ in phases] == ["took_over", "confirmed"]
    ends = sink.ends()
    assert ends == sorted(set(ends))
    assert max(np.diff(ends)) <= 2 * RATE
    versions = [version for _, version in sink.decisions]
    assert versions == sorted(versions, key=lambda version: version == name)
    first = next(decision for decision, version in sink.decisions if version == name)
    assert first.first_sample == round(20.3 * RATE)  # the first block after the take-over
    covered = 0
    for decision, _ in sink.decisions:
        assert decision.first_sample <= covered
        covered = decision.end_sample
    check_all_classified(runtime.totals(), end)


@pytest.mark.parametrize("numberless", [False, True])
def test_a_model_that_fails_is_rolled_back_and_its_batch_is_decided_again(start, manifests, numberless):
    """Windows, probabilities and alarms are those of a run without any swap."""
    samples = np.concatenate([tone(25), tone(30, amplitude=0.6), tone(10)], axis=1)
    plain, sink = RecordingSink(), RecordingSink()
    with start(plain) as runtime:
        feed(runtime, samples)
    with start(sink) as runtime:
        end = feed(runtime, samples[:, : 20 * RATE])
        phases = swap(runtime, model_of(manifests["alike"], 3, numberless=numberless), 60.0)
        feed(runtime, samples[:, 20 * RATE :], end)
    assert [phase for phase, _ in phases] == ["took_over", "rolled_back"]
    assert ("not numbers" if numberless else "the graph gave up") in phases[1][1]
    assert [version for _, version in sink.decisions].count("alike") >= 3
    assert sink.ends() == plain.ends()
    for (mine, _), (other, _) in zip(sink.decisions, plain.decisions, strict=True):
        np.testing.assert_allclose(mine.probabilities, other.probabilities, atol=1e-5)
    assert sink.events == plain.events
    check_all_classified(runtime.totals(), samples.shape[1])


@pytest.mark.parametrize("seed", range(8))
def test_the_account_is_complete_whenever_a_model_fails(start, manifests, seed):
    """Models with the same or other windows take over and fail, in streams that end: nothing is lost."""
    draw = np.random.default_rng(seed)
    sink, total = RecordingSink(), 0
    with start(sink, max_batch=int(draw.choice([1, 4]))) as runtime:
        for name in ("short", "long", "alike"):
            end = feed(runtime, tone(draw.uniform(1, 15)), step=100)
            phases = swap(runtime, model_of(manifests[name], int(draw.integers(6)), numberless=True), 600.0)
            end = feed(runtime, tone(draw.uniform(0.5, 30)), end, step=100)
            totals = runtime.totals()
            assert totals.samples_in == totals.classified + totals.pending + sum(totals.missing.values())
            end = feed(runtime, tone(40), end, step=400)  # until it has failed
            assert [phase for phase, _ in phases] == ["took_over", "rolled_back"]
            runtime.end("s")
            total += end
    assert len(sink.ends()) == runtime.totals().windows
    check_all_classified(runtime.totals(), total)


def test_a_stream_that_begins_on_probation_is_rolled_back_too(start, manifests):
    """The stream has only known the new model. Windows of the other one were kept since the last decision."""
    sink = RecordingSink()
    with start(sink, max_batch=1) as runtime:
        phases = swap(runtime, model_of(manifests["long"], 2), 60.0)
        end = feed(runtime, tone(40))
    assert [phase for phase, _ in phases] == ["took_over", "rolled_back"]
    assert [version for _, version in sink.decisions[:3]] == ["long", "long", "first"]
    assert sink.ends()[:4] == [20 * RATE, 22 * RATE, 23 * RATE, 24 * RATE]
    check_all_classified(runtime.totals(), end)


def test_a_model_that_cannot_be_opened_or_fed_is_refused_and_nothing_changes(start, manifests):
    def opener():
        raise BundleError("no such graph")

    sink = RecordingSink()
    with start(sink) as runtime:
        end = feed(runtime, tone(12))
        manifest = manifests["alike"]
        phases = swap(runtime, Model(manifest, opener, alarm_specs(manifest.labels)))
        phases += swap(runtime, model_of(manifests["odd"]))
        end = feed(runtime, tone(12), end)
    assert phases[0] == ("refused", "no such graph")
    assert [phase for phase, _ in phases] == ["refused", "refused"]
    assert "51.3" in phases[1][1]
    assert {version for _, version in sink.decisions} == {"first"}
    check_all_classified(runtime.totals(), end)
