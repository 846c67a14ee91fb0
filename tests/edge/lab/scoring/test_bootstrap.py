"""Bootstrap intervals, on figures whose interval is known."""

import numpy as np
import pytest

from edge.lab.scoring.bootstrap import bootstrap_interval, draw_counts, percentile_interval


def test_the_interval_of_a_mean():
    values = np.random.default_rng(1).normal(5.0, 1.0, 400)
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), 400)
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 * 1.0 / 20, rel=0.3)


def test_each_resample_draws_as_many_units_as_there_are():
    counts = draw_counts(7, 2000)
    assert counts.shape == (2000, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.1)


def test_the_draws_depend_on_the_seed_alone():
    assert (draw_counts(7, 20, seed=3) == draw_counts(7, 20, seed=3)).all()
    assert (draw_counts(7, 20, seed=3) != draw_counts(7, 20, seed=4)).any()


def test_undefined_resamples_are_left_out():
    assert percentile_interval(np.array([np.nan, 2.0, np.nan])) == (2.0, 2.0)
    assert np.isnan(percentile_interval(np.array([np.nan, np.nan]))).all()
