"""Beats described by the device's code, and the classes that they get from the reference."""

import numpy as np

from edge.beats.classes import CLASSES, X
from edge.beats.features import FEATURES
from edge.lab.scoring.annotation import Annotation
from edge.sources.synthetic import render
from training.beats.description import CLEAN, NO_CLASS, Version, labels, noise_for, qrs_heights, record_beats
from training.beats.recording import Signal

RATE_HZ = 100.0
SECONDS = 30


def a_signal():
    samples = render("sinus", SECONDS, sample_rate_hz=RATE_HZ, seed=3)[[1, 6]].astype(np.float32)
    return Signal(samples, np.zeros(samples.shape, np.bool_), RATE_HZ)


def test_each_reference_beat_gives_its_class_to_the_nearest_found_beat():
    reference_s = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    symbols = np.array(["N", "A", "V", "Q", "!"])
    found_s = np.array([1.1, 1.14, 2.0, 2.5, 3.2, 4.0, 5.3])
    classes = [CLASSES.index("N"), X, CLASSES.index("S"), X, X, NO_CLASS, NO_CLASS]
    assert labels(found_s, reference_s, symbols).tolist() == classes


def test_without_a_reference_beat_all_are_false():
    assert labels(np.array([1.0, 2.0]), np.zeros(0), np.zeros(0, "<U1")).tolist() == [X, X]


def test_the_beats_of_a_sinus_rhythm_are_described_once_each():
    signal = a_signal()
    found = record_beats(signal, Annotation(np.zeros(0), np.zeros(0, "<U1"), (), SECONDS), CLEAN, noise(), "a")
    again = record_beats(
        signal, Annotation(found.time_s, np.array(["N"] * len(found.time_s)), (), 30), CLEAN, noise(), ""
    )
    assert 25 <= len(found.time_s) <= 45
    assert (np.diff(found.time_s) > 0.4).all()
    assert found.features.shape == (len(found.time_s), FEATURES)
    assert (found.label == X).all()
    assert (again.label == CLASSES.index("N")).all()


def test_an_absent_lead_is_not_kept():
    annotation = Annotation(np.array([1.0]), np.array(["N"]), (), SECONDS)
    beats = record_beats(a_signal(), annotation, Version("one", (1,), noisy=True), noise(), "a")
    assert beats.keep[:, 0].any()
    assert not beats.keep[:, 1].any()
    assert not beats.snippets[:, 1].any()


def test_noise_has_the_strength_that_is_asked_for():
    signal = a_signal()
    heights = qrs_heights(signal, np.arange(1.0, 29.0))
    added = noise_for(signal, heights, noise(), seed=1)
    assert added.shape == signal.samples.shape
    assert 0 < added.std() < 2 * heights.max()
    assert np.array_equal(added, noise_for(signal, heights, noise(), seed=1))


def noise():
    return np.random.default_rng(0).normal(size=(2, 4000))
