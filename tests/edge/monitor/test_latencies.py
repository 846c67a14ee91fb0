"""Latencies of the latest windows."""

import numpy as np
import pytest

from edge.monitor.latencies import RecentLatencies


def test_latencies_of_the_last_minutes() -> None:
    latencies = RecentLatencies()
    assert not latencies.after().size
    for number in range(100):
        latencies.add(9.0, 1000.0)
        latencies.add(number / 1000, 1200.0)
    assert latencies.after().size == 200
    assert sorted(latencies.after(1001.0)) == pytest.approx(np.arange(100) / 1000)
    assert not latencies.after(1201.0).size


def test_only_the_latest_windows_are_kept() -> None:
    latencies = RecentLatencies(kept=8)
    for value in range(20):
        latencies.add(value, 5.0)
    assert sorted(latencies.after(1.0)) == list(range(12, 20))
