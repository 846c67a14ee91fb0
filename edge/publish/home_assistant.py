"""Announces this device and its streams to Home Assistant through MQTT discovery.

    <prefix>/device/ecg-nat-<device>/config            retained: whether the device is online, and its back end
    <prefix>/device/ecg-nat-<device>/<stream>/config   retained: alarms of a stream; rhythm and heart rate

One message describes a device with all its entities (home-assistant.io/integrations/mqtt, "device discovery payload").
An alarm is on while `StreamAlarms` lists it. When a stream has ended or the device is offline, its entities are shown
as unavailable, so that nobody takes silence for health.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edge.alarms.machine import AlarmEvent, AlarmSpec
from edge.monitor.update import StreamUpdate
from edge.mqtt import topics
from edge.publish.payloads import StreamAlarms, encode

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOG = logging.getLogger(__name__)
MAX_STREAMS = 256  # most streams that are announced: ids come from the network, and each costs a retained message
RHYTHMS = ("SR", "AF", "AFL", "SVT", "VT", "BIGEMINY", "TRIGEMINY", "SBRAD", "STACH", "PACED")
_LIKELY = 0.5  # a rhythm below this probability is shown as unknown
_MODEL = "ECG-NAT, a research tool and no medical device"


class HomeAssistant:
    """A context manager that announces the device, and a sink that announces its streams.

    Parameters
    ----------
    retain : publishes a retained message, or removes it with an empty one; must return at once
    device : opaque id of this device
    version : of this program
    specs : the alarms of every stream
    rhythms : labels of the model that name a rhythm; None where predictions are not published
    prefix : Home Assistant's discovery prefix
    remove_at_end : remove the device and its streams on leaving
    """

    def __init__(
        self,
        retain: Callable[[str, bytes], None],
        device: str,
        version: str,
        *,
        specs: Sequence[AlarmSpec],
        rhythms: Sequence[str] | None = None,
        prefix: str = "homeassistant",
        remove_at_end: bool = False,
    ) -> None:
        self._retain = retain
        self._device = device
        self._version = version
        self._predictions = rhythms is not None
        self._rhythms: tuple[str, ...] = tuple(rhythms or ())
        self._specs = _with_priority(specs)
        self._removed: set[str] = set()  # components that an earlier bundle had and this one has not
        self._prefix = prefix
        self._remove_at_end = remove_at_end
        self._announced: dict[str, str | None] = {}  # discovery topic -> its stream; None for the device
        self._on: dict[str, frozenset[str]] = {}  # open stream -> labels of its alarms that are on

    def __enter__(self) -> "Self":
        self._announce(None, self.device_config)
        return self

    def __exit__(self, *_error: object) -> None:
        for topic in sorted(self._announced) if self._remove_at_end else ():
            self._retain(topic, b"")

    def __call__(self, update: StreamUpdate) -> None:
        """Announce a new stream, and publish which of its alarms are on when that has changed."""
        stream = update.monitor.stream
        before = self._on.get(stream)
        if update.monitor.closed:
            # The empty message makes the entities unavailable; they stay known for the stream's return.
            if self._on.pop(stream, None) is not None:
                self._retain(topics.stream_alarms_topic(self._device, stream), b"")
            return
        now = self._after(before or frozenset(), update.events)
        if now == before:
            return
        # `before` is None for a new stream: its empty list is published too, which makes it available.
        if before is None and not self._announce(stream, lambda: self.stream_config(stream)):
            return
        self._on[stream] = now
        self._retain(topics.stream_alarms_topic(self._device, stream), encode(StreamAlarms(on=tuple(sorted(now)))))

    def switch_model(self, specs: Sequence[AlarmSpec], rhythms: Sequence[str] | None) -> None:
        """Announce every stream again, with the alarms of another bundle; in the thread that calls the sink."""
        before = self._components()
        self._specs, self._rhythms = _with_priority(specs), tuple(rhythms or ())
        self._removed = (self._removed | before) - self._components()
        for topic, stream in self._announced.items():
            if stream is not None:
                self._retain(topic, msgspec.json.encode(self.stream_config(stream)))

    def _components(self) -> set[str]:
        return {f"alarm_{spec.label}" for spec in self._specs} | ({"rhythm"} if self._rhythms else set())

    def device_config(self) -> dict[str, Any]:
        """Return the discovery payload of the device."""
        status = topics.status_topic(self._device)
        entities = {
            "status": {
                "platform": "binary_sensor",
                "name": "Status",
                "device_class": "connectivity",
                "value_template": "{{ value_json.state }}",
                "payload_on": "online",
                "payload_off": "offline",
            },
            "classifier": {
                "platform": "sensor",
                "name": "Classifier",
                "entity_category": "diagnostic",
                "value_template": "{{ (value_json.classifier or 'starting')[:255] }}",
            },
        }
        return self._config(None, entities) | {"state_topic": status}

    def stream_config(self, stream: str) -> dict[str, Any]:
        """Return the discovery payload of one stream."""
        alarms = topics.stream_alarms_topic(self._device, stream)
        entities: dict[str, dict[str, Any]] = {
            f"alarm_{spec.label}": {
                "platform": "binary_sensor",
                "name": spec.name,
                "device_class": "problem",
                "value_template": f"{{{{ 'ON' if value and '{spec.label}' in value_json.on else 'OFF' }}}}",
            }
            for spec in self._specs
        }
        if self._rhythms:
            entities["rhythm"] = {
                "platform": "sensor",
                "name": "Rhythm",
                "state_topic": topics.predictions_topic(self._device, stream),
                "value_template": _rhythm_template(self._rhythms),
            }
        if self._predictions:
            entities["heart_rate"] = {
                "platform": "sensor",
                "name": "Heart rate",
                "icon": "mdi:heart-pulse",
                "state_class": "measurement",
                "unit_of_measurement": "bpm",
                "state_topic": topics.predictions_topic(self._device, stream),
                "value_template": "{{ value_json.heart_rate_bpm }}",
            }
        for key in sorted(self._removed):  # Home Assistant removes a component that has nothing but its platform
            entities[key] = {"platform": "sensor" if key == "rhythm" else "binary_sensor"}
        stream_open = {"topic": alarms, "value_template": "{{ 'online' if value else 'offline' }}"}
        device_online = {"topic": topics.status_topic(self._device), "value_template": "{{ value_json.state }}"}
        return self._config(stream, entities) | {
            "state_topic": alarms,
            "availability": [device_online, stream_open],
            "availability_mode": "all",
        }

    def _config(self, stream: str | None, entities: dict[str, dict[str, Any]]) -> dict[str, Any]:
        device_id = f"ecg-nat/{self._device}"
        own_id = device_id if stream is None else f"{device_id}/{stream}"
        device = {
            "identifiers": [own_id],
            "name": f"ECG {self._device}" if stream is None else f"ECG {self._device} {stream}",
            "manufacturer": "ECG-NAT",
            "model": _MODEL,
            "sw_version": self._version,
        }
        return {
            "device": device if stream is None else device | {"via_device": device_id},
            "origin": {"name": "ECG-NAT", "sw_version": self._version},
            "components": {
                key: entity if len(entity) == 1 else entity | {"unique_id": f"{own_id}/{key}"}
                for key, entity in entities.items()
            },
            "qos": 1,
        }

    def _topic(self, stream: str | None = None) -> str:
        node = f"{self._prefix}/device/ecg-nat-{self._device}"
        return f"{node}/config" if stream is None else f"{node}/{stream}/config"

    def _announce(self, stream: str | None, config: Callable[[], dict[str, Any]]) -> bool:
        """Publish a discovery message once; False where there are too many streams."""
        topic = self._topic(stream)
        if topic not in self._announced:
            if len(self._announced) > MAX_STREAMS:
                return False
            if len(self._announced) == MAX_STREAMS:
                _LOG.warning("only the first %d streams are announced to Home Assistant", MAX_STREAMS)
            self._announced[topic] = stream
            self._retain(topic, msgspec.json.encode(config()))
        return True

    @staticmethod
    def _after(on: frozenset[str], events: Sequence[AlarmEvent]) -> frozenset[str]:
        for event in events:
            if event.kind == "raised":
                on |= {event.spec.label}
            elif event.kind == "cleared":
                on -= {event.spec.label}
        return on


def _with_priority(specs: Sequence[AlarmSpec]) -> tuple[AlarmSpec, ...]:
    return tuple(spec for spec in specs if spec.priority != "none")


def _rhythm_template(rhythms: Sequence[str]) -> str:
    """Return the template that names the most probable rhythm of a `Prediction`, or `unknown` if none is likely."""
    names = ", ".join(f"'{name}'" for name in rhythms)
    return (
        "{% set best = namespace(name='unknown', p=" + str(_LIKELY) + ") %}{% set p = value_json.probabilities or {} %}"
        "{% for name in [" + names + "] %}{% if p.get(name, 0) >= best.p %}"
        "{% set best.name = name %}{% set best.p = p[name] %}{% endif %}{% endfor %}{{ best.name }}"
    )
