"""What Home Assistant shows: a stand-in follows its discovery over a real broker and renders its templates."""

import functools
import threading
import uuid
from types import SimpleNamespace

import jinja2
import msgspec
import pytest
from waiting import wait_until

from edge.alarms.specs import alarm_specs
from edge.lab.replay import ReplayConfig, replay_recording
from edge.monitor.update import StreamUpdate
from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.publish.config import HomeAssistantConfig, PublishConfig
from edge.publish.home_assistant import MAX_STREAMS, HomeAssistant
from edge.publish.sink import AlertSink, new_publisher
from edge.service.config import DeviceConfig, ServiceConfig
from edge.service.supervisor import Service
from edge.sources.config import SyntheticConfig
from edge.sources.recordings import open_recording

# of home-assistant/core, homeassistant/components/mqtt/schemas.py, DEVICE_DISCOVERY_SCHEMA: others are refused there
ROOT_KEYS = {"device", "origin", "components", "state_topic", "qos", "availability", "availability_mode"}
DEVICE_KEYS = {"identifiers", "name", "manufacturer", "model", "sw_version", "via_device"}
SCENARIO = "sinus:12,vt:14,sinus:14"


class Home:
    """Keeps the last message of each topic, and works out the entities as Home Assistant does."""

    def __init__(self, subscriber):
        self._subscriber = subscriber
        self._last = {}
        self.history = {}  # unique id -> its states, in order, repetitions left out
        engine = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701  no HTML
        self._compile = functools.cache(engine.from_string)

    def update(self):
        """Handle all messages that have arrived."""
        while (message := self._subscriber.get(0.05)) is not None:
            self._last[message.topic] = message.payload.decode()
            for unique_id, state in self.states().items():
                states = self.history.setdefault(unique_id, [])
                if states[-1:] != [state]:
                    states.append(state)
        return self

    def devices(self):
        """Return the discovery payloads that are there, by topic, checked."""
        configs = {}
        for topic, payload in self._last.items():
            if topic.startswith("homeassistant/") and payload:
                config = msgspec.json.decode(payload)
                assert config.keys() <= ROOT_KEYS
                assert config["device"].keys() <= DEVICE_KEYS
                assert config["device"]["identifiers"]
                assert config["origin"]["name"]
                configs[topic] = config
        return configs

    def states(self):
        """Return the state of each entity."""
        return {
            component["unique_id"]: self._state(config, component)
            for config in self.devices().values()
            for component in config["components"].values()
        }

    def _state(self, config, component):
        conditions = config.get("availability", [])
        if not all(self._render(each["topic"], each["value_template"]) == "online" for each in conditions):
            return "unavailable"
        value = self._render(component.get("state_topic", config.get("state_topic")), component["value_template"])
        if component["platform"] == "binary_sensor" and value is not None:
            return {component.get("payload_on", "ON"): "on", component.get("payload_off", "OFF"): "off"}[value]
        return value

    def _render(self, topic, template):
        if topic not in self._last:
            return None
        value = self._last[topic]
        variables = {"value": value, "value_json": msgspec.json.decode(value)} if value else {"value": value}
        return self._compile(template).render(variables)


@pytest.fixture
def device():
    """Give a device of this test's own."""
    return f"d-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def home(broker, device):
    """Give a Home Assistant that is subscribed before the device starts."""
    filters = [f"homeassistant/device/ecg-nat-{device}/#", f"ecg-nat/v1/{device}/#"]
    with Subscriber(BrokerConfig(host=broker[0], port=broker[1]), filters) as subscriber:
        yield Home(subscriber)


def serve(broker, device, bundle, **options):
    """Run a service over the synthetic patient to its end."""
    config = ServiceConfig(
        source=(SyntheticConfig(scenario=SCENARIO, speed=1000.0, stream="bed-7"),),
        device=DeviceConfig(device),
        broker=BrokerConfig(host=broker[0], port=broker[1]),
        publish=PublishConfig(predictions=True, home_assistant=HomeAssistantConfig(**options)),
    )
    service = Service(config, bundle)
    thread = threading.Thread(target=service.run)
    thread.start()
    return thread


def test_device_and_stream_appear_and_their_states_follow(broker, device, home, tiny_bundle):
    """The test waits for each change: of states that change faster than they can be sent, only the last is sent."""
    specs = alarm_specs(tiny_bundle.manifest.labels)
    publisher = new_publisher(BrokerConfig(host=broker[0], port=broker[1]), device, tiny_bundle)
    publisher.connect()
    announcer = HomeAssistant(publisher.retain, device, "1", specs=specs, rhythms=("SR", "AF", "VT"))
    sink = AlertSink(publisher, predictions=True, then=announcer)

    def step(update):
        sink(update)
        wait_until(lambda: publisher._connection.idle)

    with announcer:
        name = f"synthetic:{SCENARIO}"
        replay_recording(open_recording(name), tiny_bundle, ReplayConfig(record="bed-7"), sink=step)
        wait_until(lambda: publisher._connection.idle)
    publisher.close()
    own, stream = f"ecg-nat/{device}", f"ecg-nat/{device}/bed-7"
    wait_until(lambda: home.update().history.get(f"{own}/status", [])[-1:] == ["off"], 30, "the device's end")
    history = home.history
    assert [state for state in history[f"{own}/status"] if state] == ["on", "off"]
    assert {key.rpartition("/")[2] for key in history if key.startswith(f"{stream}/alarm_")} == {
        f"alarm_{spec.label}" for spec in specs if spec.priority != "none"
    }
    assert history[f"{stream}/alarm_AF"] == ["unavailable", "off", "on", "off", "unavailable"]
    assert history[f"{stream}/alarm_LEAD_OFF"] == ["unavailable", "off", "unavailable"]
    assert {"SR", "AF"} <= set(history[f"{stream}/rhythm"])
    rates = [float(rate) for rate in history[f"{stream}/heart_rate"] if rate not in {None, "None", "unavailable"}]
    assert any(45 < rate < 100 for rate in rates), "sinus rhythm"
    assert max(rates) < 300
    assert len(home.devices()) == 2  # they stay, for the next start
    assert home.devices()[f"homeassistant/device/ecg-nat-{device}/bed-7/config"]["device"]["via_device"] == own


def test_a_late_subscriber_sees_the_same(broker, device, home, tiny_bundle):
    """All of it is retained: Home Assistant may be started after the device."""
    serve(broker, device, tiny_bundle).join(30)
    home.update()
    with Subscriber(
        BrokerConfig(host=broker[0], port=broker[1]), ["homeassistant/#", f"ecg-nat/v1/{device}/#"]
    ) as late:
        again = Home(late).update()
    mine = {topic: config for topic, config in again.devices().items() if device in topic}
    assert mine == home.devices()
    assert again.states()[f"ecg-nat/{device}/bed-7/alarm_AF"] == "unavailable"


def test_it_is_removed_at_the_end_if_configured(broker, device, home, tiny_bundle):
    thread = serve(broker, device, tiny_bundle, remove_at_end=True)
    wait_until(lambda: bool(home.update().history), 30, "the announcement")
    thread.join(30)
    wait_until(lambda: not home.update().devices(), 10, "the removal")


class Stream:
    """The part of a monitor that a sink uses."""

    closed = False

    def __init__(self, stream):
        self.stream = stream


def test_the_number_of_announced_streams_is_bounded():
    published = []
    home = HomeAssistant(lambda topic, _: published.append(topic), "d", "1", specs=())
    with home:
        for number in range(2 * MAX_STREAMS):
            home(StreamUpdate(Stream(f"s{number}"), None, (), 0.0))
    assert sum(topic.startswith("homeassistant/") for topic in published) == MAX_STREAMS + 1
    assert sum(topic.startswith("ecg-nat/") for topic in published) == MAX_STREAMS


@pytest.mark.parametrize("prefix", ["", "/", "a/", "#", "a/+/b", "x" * 65])
def test_a_prefix_that_is_no_topic_is_refused(prefix):
    with pytest.raises(ValueError, match="prefix"):
        HomeAssistantConfig(prefix=prefix)


def test_another_bundle_removes_alarms_and_adds_others(tiny_bundle):
    """Home Assistant removes a component that is announced with nothing but its platform."""
    published = {}
    labels = tiny_bundle.manifest.labels
    before, after = alarm_specs(labels), alarm_specs(labels[2:])
    home = HomeAssistant(published.__setitem__, "dev", "1", specs=before, rhythms=["SR", "AF"])
    monitor = SimpleNamespace(stream="bed", closed=False)
    with home:
        home(StreamUpdate(monitor, None, (), 0.0))
        home.switch_model(after, [])
        (topic,) = (topic for topic in published if topic.endswith("/bed/config"))
        components = msgspec.json.decode(published[topic])["components"]
        assert components["alarm_AF"] == {"platform": "binary_sensor"}
        assert components["rhythm"] == {"platform": "sensor"}
        assert components["alarm_VT"]["unique_id"] == "ecg-nat/dev/bed/alarm_VT"
        home.switch_model(before, ["SR"])
        components = msgspec.json.decode(published[topic])["components"]
    assert components["alarm_AF"]["name"] == "atrial fibrillation"
    assert components["rhythm"]["state_topic"].endswith("/predictions")
