"""The MQTT source against a real Mosquitto."""

import itertools
import json
import math
import threading
import uuid
from contextlib import contextmanager

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from adc_blocks import SPEC, causes, counted_blocks
from paho.mqtt.enums import CallbackAPIVersion
from waiting import free_port, wait_until

from edge.core.errors import BrokerError, ConfigError
from edge.core.samples import Cause
from edge.mqtt.client import BrokerConfig
from edge.sources.config import MqttConfig
from edge.sources.formats.adc import mv_from_adc
from edge.sources.formats.mqtt_payload import PayloadWriter
from edge.sources.mqtt_topic import MqttTopicSource


@contextmanager
def device(host, port):
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(host, port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def root():
    return f"test/{uuid.uuid4().hex}"


@pytest.fixture
def config(broker, root):
    host, port = broker
    return MqttConfig(topic=f"{root}/+/samples", broker=BrokerConfig(host=host, port=port))


def payloads(sizes):
    writer = PayloadWriter(SPEC)
    return [payload for block in counted_blocks(sizes) for payload in writer.encode(block)]


def until_last(source, streams=1):
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        streams -= block.last
        if streams == 0:
            return blocks
    pytest.fail("the source ended without a last block")


def test_many_devices_over_one_source(broker, config, root):
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        for payload in payloads([100] * 20):
            for bed in ("bed1", "bed2", "bed3"):
                client.publish(f"{root}/{bed}/samples", payload, qos=1)
        blocks = until_last(source, streams=3)
    truth = np.concatenate([mv_from_adc(block.adc, SPEC) for block in counted_blocks([100] * 20)], axis=1)
    for bed in ("bed1", "bed2", "bed3"):
        assert np.array_equal(np.concatenate([b.samples for b in blocks if b.stream == bed], axis=1), truth)
    assert source.counters == {}


def test_lost_repeated_and_late_payloads(broker, config, root):
    one, two, three, four, end = payloads([10] * 4)
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        for payload in (one, one, three, two, four, end):
            client.publish(f"{root}/bed/samples", payload, qos=1)
        blocks = until_last(source)
    assert causes(blocks, 40) == [0] * 10 + [Cause.SEQUENCE_GAP] * 10 + [0] * 20
    assert source.counters == {"duplicate_blocks": 1, "late_blocks": 1}


def test_bad_payloads_are_counted_and_good_ones_arrive(broker, config, root, caplog):
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        for bad in (b"", b"garbage", b"{}", b"x" * 100_000, json.dumps({"version": 1, "samples": 1}).encode()):
            client.publish(f"{root}/bed/samples", bad, qos=1)
        client.publish(f"{root}/bed/samples", b"x" * (10 << 20), qos=1)  # the broker does not forward this one
        client.publish(f"{root}/no spaces/samples", payloads([10])[0], qos=1)
        for payload in payloads([10] * 3):
            client.publish(f"{root}/bed/samples", payload, qos=1)
        blocks = until_last(source)
    assert causes(blocks, 30) == [0] * 30
    assert source.counters == {"rejected_payloads": 5, "refused_streams": 1}
    assert 1 <= len(caplog.records) < 6


def test_payloads_lost_to_a_full_queue_are_overrun(broker, root):
    config = MqttConfig(
        topic=f"{root}/+/samples", broker=BrokerConfig(host=broker[0], port=broker[1]), queue_payloads=4, max_streams=1
    )
    *data, end = payloads([10] * 8)
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        for payload in data[:7]:
            client.publish(f"{root}/bed/samples", payload, qos=1)
        wait_until(lambda: source.counters.get("overrun_payloads", 0) == 3, what="the overrun")
        reader = source.blocks()
        blocks = [next(reader) for _ in range(4)]
        client.publish(f"{root}/bed/samples", data[7], qos=1)
        client.publish(f"{root}/bed/samples", end, qos=1)
        for block in reader:
            blocks.append(block)
            if block.last:
                break
    assert causes(blocks, 80) == [0] * 40 + [Cause.OVERRUN] * 30 + [0] * 10


def test_a_sender_that_waits_for_the_reader_loses_nothing(broker, root):
    config = MqttConfig(
        topic=f"{root}/+/samples",
        broker=BrokerConfig(host=broker[0], port=broker[1]),
        queue_payloads=8,
        max_payloads_per_s=math.inf,
    )
    credit = threading.Semaphore(8)

    def send(client):
        for payload in payloads([5] * 2000):
            assert credit.acquire(timeout=10)
            client.publish(f"{root}/bed/samples", payload, qos=1)

    with MqttTopicSource(config, on_taken=credit.release) as source, device(*broker) as client:
        source.open()
        sender = threading.Thread(target=send, args=(client,))
        sender.start()
        blocks = until_last(source)
        sender.join(10)
    assert causes(blocks, 10_000) == [0] * 10_000
    assert source.counters == {}


def test_a_quiet_device_is_silent_and_the_others_are_read(broker, root):
    """When it comes back, its sequence shows the rest of the gap."""
    config = MqttConfig(
        topic=f"{root}/+/samples", broker=BrokerConfig(host=broker[0], port=broker[1]), silent_after_s=0.3
    )
    one, _, three, end = payloads([25, 5000, 25])
    blocks = []
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        reader = threading.Thread(target=lambda: blocks.extend(source.blocks()))
        reader.start()
        client.publish(f"{root}/quiet/samples", one, qos=1)
        writer, talk = PayloadWriter(SPEC), counted_blocks([25] * 300)

        def quiet_is_silent():
            for payload in writer.encode(talk.pop(0)):
                client.publish(f"{root}/busy/samples", payload, qos=1)
            return any(b.stream == "quiet" and (b.missing == Cause.SILENT).any() for b in tuple(blocks))

        wait_until(quiet_is_silent, timeout_s=5.0, what="silence of the quiet one")
        client.publish(f"{root}/quiet/samples", three, qos=1)
        client.publish(f"{root}/quiet/samples", end, qos=1)
        wait_until(lambda: any(b.last for b in tuple(blocks)), what="the end")
        source.stop()
        reader.join(10)
    quiet = causes([b for b in blocks if b.stream == "quiet"], 5050)
    silent = quiet.count(Cause.SILENT)
    assert quiet == [0] * 25 + [Cause.SILENT] * silent + [Cause.SEQUENCE_GAP] * (5000 - silent) + [0] * 25
    assert {b.stream for b in blocks if (b.missing == Cause.SILENT).any()} == {"quiet"}
    assert source.counters == {"silences": 1}
    assert source.true_rates_hz == {}, "not enough data yet"


def test_a_device_that_stays_away_is_given_up_and_makes_room(broker, root):
    config = MqttConfig(
        topic=f"{root}/+/samples",
        broker=BrokerConfig(host=broker[0], port=broker[1]),
        max_streams=1,
        silent_after_s=0.1,
        forget_after_s=0.3,
    )
    data = payloads([10])[0]
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        client.publish(f"{root}/gone/samples", data, qos=1)
        reader = source.blocks()
        assert next(reader).stream == "gone"
        ended = next(block for block in reader if not (block.missing == Cause.SILENT).any())
        assert (ended.stream, ended.last, ended.samples.shape[1]) == ("gone", True, 0)
        client.publish(f"{root}/new/samples", data, qos=1)
        assert next(reader).stream == "new"


def test_a_stream_above_the_limit_is_refused(broker, root):
    config = MqttConfig(topic=f"{root}/+/samples", broker=BrokerConfig(host=broker[0], port=broker[1]), max_streams=1)
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        data, end = payloads([10])
        for bed, payload in (("bed1", data), ("bed2", data), ("bed1", end)):
            client.publish(f"{root}/{bed}/samples", payload, qos=1)
        blocks = until_last(source)
    assert {block.stream for block in blocks} == {"bed1"}
    assert source.counters["refused_streams"] == 1


def test_a_stream_that_was_quiet_for_long_makes_room(broker, root, monkeypatch):
    """64 devices that sent once, or 64 invented ids, used to keep every later device out until the next restart."""
    monkeypatch.setattr("edge.sources.mqtt_topic._MAKE_ROOM_AFTER_S", 0.0)
    config = MqttConfig(topic=f"{root}/+/samples", broker=BrokerConfig(host=broker[0], port=broker[1]), max_streams=1)
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        data, end = payloads([10])
        for bed, payload in (("bed1", data), ("bed2", data), ("bed2", end)):
            client.publish(f"{root}/{bed}/samples", payload, qos=1)
        reader = source.blocks()
        blocks = [next(reader) for _ in range(4)]
    passed_on = [(block.stream, block.first_sample, block.samples.shape[1], block.last) for block in blocks]
    assert passed_on == [("bed1", 0, 10, False), ("bed1", 10, 0, True), ("bed2", 0, 10, False), ("bed2", 10, 0, True)]
    assert source.counters == {}


def test_invalid_payloads_make_no_room(broker, root, monkeypatch):
    """A bad id, or a malformed payload, does not end the stream of a quiet device."""
    monkeypatch.setattr("edge.sources.mqtt_topic._MAKE_ROOM_AFTER_S", 0.0)
    config = MqttConfig(topic=f"{root}/+/samples", broker=BrokerConfig(host=broker[0], port=broker[1]), max_streams=1)
    data, end = payloads([10])
    taken = itertools.count(1)

    def on_taken():
        if next(taken) == 3:  # lanes take turns: bed1 must not end before the invalid payloads are read
            client.publish(f"{root}/bed1/samples", end, qos=1)

    with MqttTopicSource(config, on_taken=on_taken) as source, device(*broker) as client:
        source.open()
        for bed, payload in (("bed1", data), ("bed 2", data), ("bed2", b"garbage")):
            client.publish(f"{root}/{bed}/samples", payload, qos=1)
        blocks = until_last(source)
    assert [(block.stream, block.last) for block in blocks] == [("bed1", False), ("bed1", True)]
    assert source.counters == {"refused_streams": 1, "rejected_payloads": 1}


def test_an_absent_broker_is_one_error():
    config = MqttConfig(broker=BrokerConfig(host="127.0.0.1", port=free_port()), connect_timeout_s=0.3)
    with MqttTopicSource(config) as source, pytest.raises(BrokerError, match="is the broker running") as caught:
        next(source.blocks())
    assert "\n" not in str(caught.value)


def test_a_broker_that_stops_and_comes_back(mosquitto, root):
    config = MqttConfig(topic=f"{root}/+/samples", broker=BrokerConfig(host=mosquitto.host, port=mosquitto.port))
    one, _, three, end = payloads([10] * 3)
    with MqttTopicSource(config) as source:
        source.open()
        reader = source.blocks()
        with device(mosquitto.host, mosquitto.port) as client:
            client.publish(f"{root}/bed/samples", one, qos=1)
            blocks = [next(reader)]
        mosquitto.stop()
        mosquitto.start()
        wait_until(lambda: source.counters.get("reconnects", 0) == 1, what="the reconnection")
        with device(mosquitto.host, mosquitto.port) as client:
            for payload in (three, end):
                client.publish(f"{root}/bed/samples", payload, qos=1)
            for block in reader:
                blocks.append(block)
                if block.last:
                    break
    assert causes(blocks, 30) == [0] * 10 + [Cause.SEQUENCE_GAP] * 10 + [0] * 10


def test_stop_ends_a_silent_source(config):
    with MqttTopicSource(config) as source:
        reader = threading.Thread(target=lambda: list(source.blocks()))
        reader.start()
        source.stop()
        reader.join(10)
        assert not reader.is_alive()


@pytest.mark.parametrize("topic", ["ecg/samples", "ecg/+/+", "ecg/#", "ecg/+/#", "ecg/+/a+b"])
def test_a_topic_without_exactly_one_stream_is_refused(topic):
    with pytest.raises(ConfigError, match="exactly one"):
        MqttTopicSource(MqttConfig(topic=topic))


@pytest.mark.parametrize("topic", ["$share/ward/ecg/+/samples", "ecg/+/\0", "ecg/+/" + "x" * 2000])
def test_a_topic_that_would_end_the_network_thread_is_refused(topic):
    """The first message of a shared subscription used to end paho's thread, and the source was silent from then on."""
    with pytest.raises(ConfigError, match="begins with"):
        MqttTopicSource(MqttConfig(topic=topic))


def test_a_device_that_floods_loses_only_its_own_payloads(broker, root):
    """Nobody reads meanwhile. One queue for all devices would have dropped payloads of the others.

    The flood stays below the 1000 messages that Mosquitto keeps for a subscriber, so that all of it arrives.
    """
    config = MqttConfig(
        topic=f"{root}/+/samples",
        broker=BrokerConfig(host=broker[0], port=broker[1]),
        queue_payloads=16,
        max_payloads_per_s=2.0,
        max_streams=2,
    )
    *data, end = payloads([10] * 6)
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        reader, blocks = source.blocks(), []
        for bed in ("flood", "bed"):
            client.publish(f"{root}/{bed}/samples", data[0], qos=1)
            blocks.append(next(reader))
        for number in range(200):
            client.publish(f"{root}/flood/samples", b"garbage" if number % 2 else data[1], qos=1)
            client.publish(f"{root}/invented-{number}/samples", data[0], qos=1)
        for payload in (*data[1:], end):
            client.publish(f"{root}/bed/samples", payload, qos=1)
        wait_until(lambda: source.counters.get("throttled_payloads", 0) > 300, what="the flood")
        for block in reader:
            blocks.append(block)
            if block.last:
                break
    assert block.stream == "bed"
    assert causes([each for each in blocks if each.stream == "bed"], 60) == [0] * 60
    assert source.counters["overrun_payloads"] > 0


def test_gaps_longer_than_the_time_that_passed_are_refused(broker, root):
    """A small payload cannot cause hours of work: ten minutes of gaps at once, then twice real time."""
    config = MqttConfig(topic=f"{root}/+/samples", broker=BrokerConfig(host=broker[0], port=broker[1]))
    claims = [{"first_sample": first, "last": last} for first, last in ((0, 0), (90_000, 0), (190_000, 0), (90_001, 1))]
    with MqttTopicSource(config) as source, device(*broker) as client:
        source.open()
        for claim in claims:
            payload = {"version": 1, "sample_rate_hz": 250, "leads": ["I"], "samples": [[0.1]], **claim}
            client.publish(f"{root}/bed/samples", json.dumps({**payload, "last": bool(claim["last"])}), qos=1)
        blocks = until_last(source)
    assert [(block.first_sample, block.last) for block in blocks] == [(0, False), (90_000, False), (90_001, True)]
    assert source.counters == {"rejected_payloads": 1}
