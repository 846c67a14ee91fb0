"""Beat-by-beat comparison against cases worked out by hand, and against wfdb's own matching."""

import numpy as np
import pytest

from edge.lab.scoring.beats import Beats, Confusion, compare


def beats(**at):
    """Make beats from class=times, in order of time."""
    pairs = sorted((time, kind) for kind, times in at.items() for time in times)
    return Beats(np.array([time for time, _ in pairs], np.float64), "".join(kind for _, kind in pairs))


def test_equal_lists_are_perfect():
    one = beats(N=[301, 302, 303], V=[304], S=[305])
    rates = compare(one, one).rates()
    assert {name for name, value in rates.items() if value == 0} == {"veb_fpr", "sveb_fpr"}
    assert {value for name, value in rates.items() if not name.endswith("fpr")} == {1}


def test_every_cell_of_a_small_case():
    """Six reference beats: one right, V found as N, S as V, F and Q as V, one missed; and one extra V."""
    reference = beats(N=[301, 306], V=[302], S=[303], F=[304], Q=[305])
    test = beats(N=[301.1, 302], V=[303, 304, 305, 307])
    confusion = compare(reference, test)
    assert confusion.counts.sum() == 7
    for one, other in ["NN", "VN", "SV", "FV", "QV", "NO", "OV"]:
        assert confusion.count(one, other) == 1
    assert confusion.rates() == {
        "qrs_se": 5 / 6,
        "qrs_ppv": 5 / 6,
        "veb_se": 0,
        "veb_ppv": 0,
        "veb_fpr": 2 / 3,  # S and nothing found as V, one N rightly not; F and Q found as V are no false positives
        "sveb_se": 0,
        "sveb_ppv": None,
        "sveb_fpr": 0,
    }


def test_for_s_a_fusion_beat_is_a_false_positive_and_an_unclassifiable_one_is_not():
    rates = compare(beats(S=[301], F=[302], Q=[303]), beats(S=[301, 302, 303])).rates()
    assert rates["sveb_ppv"] == 1 / 2
    assert rates["veb_se"] is None


@pytest.mark.parametrize(("apart_s", "matched"), [(0.15, 1), (-0.15, 1), (0.153, 0), (-0.153, 0)])
def test_the_window_is_150_ms_on_both_sides(apart_s, matched):
    assert compare(beats(N=[301]), beats(N=[301 + apart_s])).count("N", "N") == matched


def test_the_nearer_beat_matches():
    two_tests = compare(beats(N=[301]), beats(V=[300.9], N=[301.05]))
    assert (two_tests.count("N", "N"), two_tests.count("O", "V")) == (1, 1)
    two_references = compare(beats(V=[301], N=[301.2]), beats(N=[301.14]))
    assert (two_references.count("N", "N"), two_references.count("V", "O")) == (1, 1)


def test_no_beat_is_used_twice():
    confusion = compare(beats(N=[301]), beats(N=[300.95, 301.1]))
    assert confusion.counts.sum() == 2
    assert confusion.count("N", "N") == 1


def test_the_learning_period_does_not_count():
    reference, test = beats(N=[10, 299, 301]), beats(V=[10, 299], N=[301])
    assert compare(reference, test).counts.sum() == 1
    assert compare(reference, test, start_s=0).counts.sum() == 3


def test_pairs_across_the_end_of_the_learning_period():
    """A test beat just before it belongs to the first beat that counts, one just after it to the last that does not."""
    assert compare(beats(N=[300.05, 301]), beats(N=[299.95, 301])).rates()["qrs_se"] == 1
    late = compare(beats(N=[299.95, 301]), beats(N=[300.05, 301]))
    assert late.counts.sum() == late.count("N", "N") == 1


def test_empty_lists():
    assert compare(beats(), beats()).rates()["qrs_se"] is None
    assert compare(beats(N=[301]), beats()).rates()["qrs_se"] == 0
    assert compare(beats(), beats(N=[301])).rates()["qrs_ppv"] == 0


def test_classes_of_symbols():
    symbols = [*"NLRBAaJSejnVrEF/fQ?", "~", "+", "|", "!"]
    assert Beats.of(np.arange(len(symbols)), symbols).classes == "NNNNSSSSSSSVVVFQQQQ"


def test_beats_within_flutter_do_not_count():
    """The reference has no beats between [ and ]; a detector that finds some there is neither right nor wrong."""
    reference = Beats.of(np.array([301, 302, 302.3, 306, 307.0]), ["N", "[", "!", "]", "N"])
    assert reference.classes == "NN"
    confusion = compare(reference, beats(N=[301, 307], V=[303, 304, 305]))
    assert confusion.counts.sum() == confusion.count("N", "N") == 2


def test_flutter_that_never_ends():
    assert Beats.of(np.array([1.0, 2, 3]), ["N", "[", "V"]).flutter == ((2.0, np.inf),)


def test_records_add_up():
    one, other = compare(beats(N=[301]), beats(N=[301])), compare(beats(N=[301]), beats(V=[301]))
    assert (one + other).rates()["qrs_se"] == 1
    assert (one + other).count("N", "V") == 1
    assert sum([one, other], Confusion()).counts.sum() == 2


def test_lists_that_contradict_themselves():
    with pytest.raises(ValueError, match="classes"):
        Beats(np.array([1.0]), "NN")
    with pytest.raises(ValueError, match="classes"):
        Beats(np.array([1.0]), "x")
    with pytest.raises(ValueError, match="order of time"):
        Beats(np.array([2.0, 1.0]), "NN")


@pytest.mark.parametrize("record", ["101", "203", "208"])
def test_qrs_matching_against_wfdb(data_dir, record):
    """A detector with jitter, misses and false beats, compared by wfdb-python's own matching as well."""
    import wfdb
    from wfdb.processing import compare_annotations

    annotation = wfdb.rdann(str(data_dir / "mitdb" / record), "atr")
    true = Beats.of(annotation.sample / 360, annotation.symbol)
    samples = np.round(true.times_s * 360).astype(int)
    random = np.random.default_rng(7)
    kept = samples[random.random(samples.size) > 0.03]
    false = samples[:-1][np.diff(samples) > 250][::9] + 125  # in the middle of long intervals
    found = np.unique(np.concatenate([kept + random.integers(-25, 26, kept.size), false]))
    ours = compare(true, Beats(found / 360, "N" * found.size), start_s=0)
    theirs = compare_annotations(samples, found, round(0.15 * 360))
    assert ours.rates()["qrs_se"] == pytest.approx(theirs.sensitivity)
    assert ours.rates()["qrs_ppv"] == pytest.approx(theirs.positive_predictivity)
    assert 0.9 < theirs.sensitivity < 0.99
