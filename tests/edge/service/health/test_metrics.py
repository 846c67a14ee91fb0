"""The Prometheus endpoint: a real scrape, and readers that misbehave."""

import socket
import urllib.request
from datetime import datetime, timezone

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.bundle.manifest import BundleRef
from edge.core.errors import ConfigError
from edge.publish.health import DeviceHealth, LatencyHealth, PublisherHealth, QueueHealth, StreamHealth
from edge.service.health.metrics import MetricsServer, _Handler


def stream(**changes) -> StreamHealth:
    fields = {"sample_rate_hz": 250.0, "true_rate_hz": 250.02, "leads": ("II",), "windows": 3}
    account = {"samples_in": 100, "classified": 60, "pending": 30, "missing": {"crc": 4, "late": 6}}
    return StreamHealth(**{**fields, **account, **changes})


def health() -> DeviceHealth:
    return DeviceHealth(
        time=datetime(2026, 1, 1, tzinfo=timezone.utc),
        version="1",
        uptime_s=12.5,
        bundle=BundleRef(name="rhythm", version="2", sha256="ab"),
        backend="onnxruntime",
        precision="int8",
        samples_in=200,
        classified=120,
        pending=60,
        missing={"crc": 14, "late": 6},
        duplicates=5,
        windows=6,
        shed_windows=1,
        latency=LatencyHealth(windows=6, p50_ms=2.5, p99_ms=10.0),
        queue=QueueHealth(windows=7, oldest_s=0.25),
        publisher=PublisherHealth(
            connected=True,
            queued=4,
            outbox=3,
            sent=9,
            connects=2,
            failures=1,
            commands={},
            dropped={"evicted": 8},
            unlogged=0,
        ),
        blocks_refused=2,
        blocks_unkept=5,
        source_events={"duplicate_blocks": 5},
        memory_mb=100.0,
        cpu_temperature_c=None,
        streams_open=2,
        streams={"bed1": stream(), "bed2": stream(true_rate_hz=None)},
    )


def scrape(url: str) -> dict[tuple[str, ...], float]:
    """Return each sample of one scrape, by name and label values."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  our own server
        text = answer.read().decode()
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_has_every_figure() -> None:
    with MetricsServer(health, "127.0.0.1", 0) as server:
        samples = scrape(server.url)
    expected = {
        ("ecg_nat_info", "onnxruntime", "rhythm", "ab", "2", "int8", "1"): 1,
        ("ecg_nat_samples_in",): 200,
        ("ecg_nat_samples_missing", "crc"): 14,
        ("ecg_nat_samples_missing", "late"): 6,
        ("ecg_nat_window_latency_seconds", "0.99"): 0.01,
        ("ecg_nat_queue_windows",): 7,
        ("ecg_nat_queue_oldest_seconds",): 0.25,
        ("ecg_nat_outbox_messages",): 3,
        ("ecg_nat_messages_dropped_total", "evicted"): 8,
        ("ecg_nat_source_events_total", "duplicate_blocks"): 5,
        ("ecg_nat_stream_samples", "missing", "bed1"): 10,
        ("ecg_nat_stream_true_sample_rate_hertz", "bed1"): 250.02,
        ("ecg_nat_streams",): 2,
    }
    assert {key: samples.get(key) for key in expected} == expected
    assert samples["process_resident_memory_bytes",] > 1e7
    assert ("ecg_nat_cpu_temperature_celsius",) not in samples, "unknown figures are left out"
    assert ("ecg_nat_stream_true_sample_rate_hertz", "bed2") not in samples


def test_a_reader_that_sends_nothing_does_not_block_others(monkeypatch) -> None:
    monkeypatch.setattr(_Handler, "timeout", 0.05)
    with MetricsServer(health, "127.0.0.1", 0) as server:
        address = server._server.server_address
        with socket.create_connection(address), socket.create_connection(address) as rude:
            rude.sendall(b"\x00garbage\r\n\r\n")
            assert scrape(server.url)["ecg_nat_streams",] == 2


def test_a_port_in_use_is_an_error_of_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigError, match=r"metrics on 127.0.0.1:\d+: Address already in use; set metrics_host"):
            MetricsServer(health, "127.0.0.1", other.getsockname()[1])


def test_it_listens_on_ipv6_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with MetricsServer(health, "::1", 0) as server:
        assert scrape(server.url)["ecg_nat_streams",] == 2
