"""Figures of this process and this machine."""

from edge.core.machine import cpu_temperature_c, memory_mb


def test_memory_is_read_from_statm(tmp_path) -> None:
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
