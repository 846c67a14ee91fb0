"""Each issue of a lead's quality, and signals that only look bad."""

import numpy as np
import pytest
from hearts import RATE_HZ, beating, without_beats
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.samples import Cause
from edge.lab.scoring.annotation import read_annotation
from edge.lab.scoring.noise import NoisyRecording, read_noise
from edge.signal.analyzer import SignalAnalyzer
from edge.signal.native import Measures
from edge.signal.quality import QualityAssessor, QualityIssue
from edge.sources.recordings import open_recording


def seconds_of(samples, missing=None, *, rate=RATE_HZ, cuts=()):
    """Push the samples, cut into blocks at `cuts`; return every second and the beats."""
    missing = np.zeros(samples.shape, np.uint8) if missing is None else missing
    analyzer, seconds = SignalAnalyzer(len(samples), rate, samples.shape[1] / rate), []
    for begin, end in zip([0, *cuts], [*cuts, samples.shape[1]], strict=True):
        analyzer.push(samples[:, begin:end], missing[:, begin:end])
    seconds = list(analyzer.seconds_until(samples.shape[1]))
    return seconds, [beat for second in analyzer.take_seconds(samples.shape[1]) for beat in second.beats]


def issues(samples, lead=0, **options):
    return [second.issues[lead] for second in seconds_of(samples, **options)[0]]


def hum(seconds, hz, mv):
    return mv * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def spoiled(kind, signal):
    """Return the signal with its seconds from 15 to 20 spoiled."""
    part, rng = slice(15 * RATE_HZ, 20 * RATE_HZ), np.random.default_rng(3)
    bad = signal.copy()
    size = bad[:, part].shape
    match kind:
        case "flat":
            bad[:, part] = 0.3
        case "saturated":
            bad[:, part] = np.clip(8 * np.sin(2 * np.pi * np.arange(size[1]) / RATE_HZ), -2.5, 2.5)
        case "range":
            bad[:, part] += 30 * rng.choice([-1, 1], size)
        case "wander":
            bad[:, part] += hum(5, 0.7, 8.0)
        case "mains":
            bad[:, part] += hum(5, 50, 2.0)
        case "noise":
            bad[:, part] += rng.standard_normal(size)
    return bad.astype(np.float32)


@pytest.mark.parametrize("kind", ["flat", "saturated", "range", "wander", "mains", "noise"])
def test_each_issue_is_found_while_it_lasts(kind):
    seconds = issues(spoiled(kind, beating(30)[0]))
    assert set(seconds[:15]) == {QualityIssue.NONE}
    assert QualityIssue[kind.upper()] in seconds[17:20]
    assert QualityIssue.NONE not in seconds[17:20]
    assert set(seconds[24:]) == {QualityIssue.NONE}


@pytest.mark.parametrize("hz", [0.05, 0.15, 0.3])
def test_wander_that_the_high_pass_removes_is_no_issue(hz):
    """From 3 mV peak to peak at the rate of breathing to 18 mV at 0.05 Hz; the complexes have 1 mV."""
    signal = beating(60)[0] + hum(60, hz, 3.0 / hz * 0.15)
    assert set(issues(signal.astype(np.float32))) == {QualityIssue.NONE}


def test_a_little_mains_is_no_issue():
    assert set(issues((beating(30)[0] + hum(30, 60, 0.3)).astype(np.float32))) == {QualityIssue.NONE}


def test_muscle_noise_lasts_until_half_of_it_is_gone():
    """Both detectors agree on every beat, so only the strength counts; the peak of the complexes is 1 mV."""
    beats, quality, found = [k * RATE_HZ for k in range(8)], QualityAssessor(RATE_HZ), []
    for mv in (0.1, 0.7, 1.1, 0.7, 0.6, 0.4, 0.7):
        one = np.array([mv])
        measures = Measures(
            features=np.zeros((2, RATE_HZ)),
            extent=one,
            level=one,
            stuck_s=np.zeros(1),
            beyond=np.zeros(1),
            drift=np.zeros(1),
            muscle=one,
            muscle_peak=np.array([1.0]),
            between=one,
            mains=np.zeros(1),
            moments=np.ones((2, 1)),
        )
        found.append(quality.assess(0, measures, 1.0, (beats, beats)) is QualityIssue.NOISE)
    assert found == [False, False, True, True, True, False, False]


def test_flutter_is_not_noise():
    """A sine of 5 Hz, as high as the complexes before it, has no complexes, but is not muscle noise."""
    signal = np.concatenate([beating(20)[0], np.tile(hum(20, 5.0, 1.0), (2, 1))], axis=1)
    assert set(issues(signal.astype(np.float32))) == {QualityIssue.NONE}


def test_a_heart_that_stopped_is_no_issue():
    signal = np.concatenate([beating(20)[0], without_beats(20)], axis=1)
    assert set(issues(signal)) == {QualityIssue.NONE}


def test_a_gap_belongs_to_one_lead():
    signal, missing = beating(20)[0], np.zeros((2, 20 * RATE_HZ), np.uint8)
    missing[1, 5 * RATE_HZ : 6 * RATE_HZ] = Cause.LEAD_OFF
    assert issues(signal, lead=1, missing=missing)[5] is QualityIssue.GAP
    assert issues(signal, lead=0, missing=missing)[5] is QualityIssue.NONE


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_any_chunking_and_any_gap_gives_the_same_seconds_and_beats(data):
    rate = data.draw(st.sampled_from([100, 250, 360]))
    signal, _ = beating(12, rate=rate, noise=data.draw(st.sampled_from([0.01, 0.5])))
    cuts = sorted(data.draw(st.lists(st.integers(0, signal.shape[1]), max_size=30)))
    missing = np.zeros(signal.shape, np.uint8)
    for begin, length in data.draw(
        st.lists(st.tuples(st.integers(0, signal.shape[1]), st.integers(1, 3 * rate)), max_size=3)
    ):
        missing[data.draw(st.integers(0, 1)), begin : begin + length] = Cause.CRC
    assert seconds_of(signal, missing, rate=rate) == seconds_of(signal, missing, rate=rate, cuts=cuts)


@pytest.fixture(scope="module")
def noisy_share(data_dir):
    """Return a function: the share of windows of ten seconds in the noisy minutes 5 and 6 that have no good lead."""

    def share(record, kind, snr_db):
        annotation = read_annotation(data_dir / f"mitdb/{record}")
        noisy = NoisyRecording(
            open_recording(f"mitdb/{record}"), annotation, read_noise(data_dir / f"nstdb/{kind}", 360.0), snr_db
        )
        analyzer, end = SignalAnalyzer(2, 360.0, 420.0), 420 * 360
        for block in noisy.adc_blocks():
            if block.first_sample < end:
                mv = block.to_block("s", noisy.spec)
                analyzer.push(mv.samples, mv.missing)
        bad = np.array([second.issues for second in analyzer.seconds_until(end)]) != QualityIssue.NONE
        return np.mean([(bad[end - 10 : end].sum(axis=0) > 1).all() for end in range(302, 421)])

    return share


def test_real_muscle_noise_is_bad_and_real_wander_is_not(noisy_share):
    assert noisy_share("118", "ma", -6.0) > 0.95
    assert noisy_share("118", "bw", 0.0) < 0.02
