"""What grows and what does not, decided from points."""

import numpy as np
import pytest

from edge.lab.bench.growth import find_growth, quarters, slope_of
from edge.monitor.latencies import Latency

HOURS = np.linspace(0.25, 24, 84)
FAST, SLOW = Latency(10.0, 30.0, 40.0), Latency(25.0, 30.0, 40.0)


def test_a_line_is_found_with_its_interval():
    found = slope_of(HOURS, 100 + 4 * HOURS / 24)
    assert (found.per_day, found.low, found.high) == pytest.approx((4, 4, 4))
    assert slope_of([1.0, 2.0], [5.0, 6.0]).high == np.inf


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8, 0.95, 1.0])
def test_the_interval_holds_the_true_slope_in_19_of_20_cases(correlation):
    """With correlated points, an interval made for independent ones held it in only half of the cases."""
    draw, held = np.random.default_rng(4), 0
    for _ in range(400):
        noise = draw.normal(0, 1, 84)
        for k in range(1, 84):
            noise[k] += correlation * noise[k - 1]
        found = slope_of(HOURS, 150 + HOURS / 24 + noise)
        held += found.low <= 1 <= found.high
    assert held >= 0.92 * 400


def test_a_single_small_step_is_no_growth():
    """A resident set moves by pages: 0.1 MB once in a day is not two MB a day."""
    found = slope_of(HOURS, np.where(HOURS < 18, 162.0, 162.1))
    assert 0 < found.per_day < 0.2
    assert found.high < 0.5
    assert not find_growth(found, (24, 24), (10, 10), [FAST] * 4)


def test_quarters_hold_every_value_once():
    parts = quarters([[1.0], [2.0, 3.0], [], [4.0], [5.0], [6.0]])
    assert len(parts) == 4
    assert np.concatenate(parts).tolist() == [1, 2, 3, 4, 5, 6]


def test_each_growing_figure_gets_a_message():
    flat = slope_of(HOURS, 150 + 0.1 * np.random.default_rng(0).normal(0, 1, 84))
    growing = slope_of(HOURS, 150 + 30 * HOURS / 24)
    assert not find_growth(flat, (24, 26), (10, 10), [FAST] * 4)
    found = find_growth(growing, (24, 40), (10, 13), [FAST, FAST, SLOW, FAST])
    assert all(any(word in each for each in found) for word in ("30 MB", "24 to 40 desc", "10 to 13 thr", "25 ms"))
    assert len(found) == 4
