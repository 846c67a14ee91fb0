"""Where the figures come from: latencies, this process, this machine."""

import numpy as np
import pytest

from edge.core.machine import cpu_temperature_c, memory_mb
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


def test_the_latest_windows_count_and_no_more_are_kept() -> None:
    latencies = RecentLatencies(kept=8)
    for value in range(20):
        latencies.add(value, 5.0)
    assert sorted(latencies.after(1.0)) == list(range(12, 20))


def test_memory_is_what_linux_says(tmp_path) -> None:
    assert 10 < memory_mb() < 10_000
    (tmp_path / "statm").write_text("nonsense")
    assert memory_mb(tmp_path / "statm") is None
    assert memory_mb(tmp_path / "absent") is None


def test_the_hottest_zone_of_the_cpu(tmp_path) -> None:
    zones = {
        "acpitz": "90000",
        "cpu-thermal": "45500",
        "tj-thermal": "51250",
        "CPU-therm": "bad",
        "gpu-thermal": "77000",
    }
    assert cpu_temperature_c(tmp_path) is None
    for number, (kind, temperature) in enumerate(zones.items()):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(kind + "\n")
        (zone / "temp").write_text(temperature + "\n")
    (tmp_path / "thermal_zone9").mkdir()
    assert cpu_temperature_c(tmp_path) == 51.25
