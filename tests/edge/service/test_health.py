"""The health of the running service, as Prometheus and a subscriber receive it."""

import re
import socket
import urllib.error
import urllib.request

from running import config_text, service, stop
from waiting import free_port, wait_until

from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import health_topic
from edge.publish.health import DeviceHealth
from edge.publish.payloads import decode
from edge.sources.formats.mqtt_payload import PayloadWriter
from edge.sources.synthetic import SyntheticSource


def scrape(port):
    """Return the text of one scrape, empty while nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.URLError:
        return ""


def value(text, name):
    found = re.search(rf"^ecg_nat_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def test_prometheus_and_a_subscriber_receive_the_health(tmp_path, broker, device, tiny_bundle_path):
    """A device sends 20 s with a gap of 0.4 s and one payload twice; account and counters show it in both."""
    port, topic = free_port(), f"test/{device}"
    address = BrokerConfig(host=broker[0], port=broker[1])
    sources = f"""
[publish]
outbox = "{tmp_path}/outbox.db"
[health]
interval_s = 1
metrics_port = {port}
[[source]]
kind = "mqtt"
topic = "{topic}/+/samples"
silent_after_s = 60.0
"""
    with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
        wait_until(lambda: value(scrape(port), "broker_connected") == 1, 60, "the endpoint and the broker")
        wait_until(lambda: 'backend="onnxruntime"' in scrape(port), 60, "the classifier")
        recording = SyntheticSource("sinus:20", leads=("II",))
        payloads = PayloadWriter(recording.spec)
        client = new_client(address)
        open_connection(client, address)
        for block in recording.adc_blocks():  # the last one, which ends the stream, is not sent
            if not block.last and not 1250 <= block.first_sample < 1350:
                end = block.end_sample
                for payload in payloads.encode(block):
                    client.publish(f"{topic}/bed/samples", payload, qos=1).wait_for_publish(10)
        client.publish(f"{topic}/bed/samples", payload, qos=1).wait_for_publish(10)
        repeated = 'source_events_total{event="duplicate_blocks"}'
        wait_until(lambda: value(scrape(port), repeated) == 1, 60, "the payload that came twice")
        wait_until(lambda: value(scrape(port), 'stream_windows{stream="bed"}') == 10, 60, "the windows")
        text = scrape(port)
        with Subscriber(address, [health_topic(device)]) as subscriber:
            latest = []
            wait_until(
                lambda: latest.append(decode(subscriber.get(30).payload, DeviceHealth)) or latest[-1].windows == 10,
                what="a message after the windows",
            )
        with Subscriber(address, [health_topic(device)]) as late:
            assert late.get(
                10
            ).retained  # subscribed only now, because a fast machine may connect before the first message
        client.disconnect()
        client.loop_stop()
        stop(process)
    assert value(text, "samples_in") == end
    assert value(text, 'samples_missing{cause="sequence_gap"}') == 100
    assert value(text, "samples_classified") + value(text, "samples_pending") == end - 100
    assert value(text, "outbox_messages") is not None
    assert value(text, 'window_latency_seconds{quantile="0.99"}') > 0
    assert value(text, 'stream_sample_rate_hertz{stream="bed"}') == 250
    health = latest[-1]
    assert health.missing == {"sequence_gap": 100}
    assert health.source_events == {"duplicate_blocks": 1}
    assert health.bundle.name == "tiny"
    assert (health.backend, health.precision) == ("onnxruntime", "fp32")
    assert health.publisher.connected
    assert health.memory_mb > 10
    assert scrape(port) == "", "the endpoint closes with the service"


def test_a_metrics_port_in_use_does_not_stop_the_monitor(tmp_path, broker, device, watcher, tiny_bundle_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        sources = (
            f'[health]\nmetrics_port = {other.getsockname()[1]}\n[[source]]\nkind = "serial"\nport = "/dev/none"\n'
        )
        with service(tmp_path, config_text(broker, device, tiny_bundle_path, sources)) as process:
            wait_until(lambda: "online" in watcher.states(), 60, "the service to be online")
            log = stop(process)
    assert "Address already in use; set metrics_host and metrics_port; continuing without metrics" in log
