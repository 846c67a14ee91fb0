"""The service's configuration: one TOML file, read into frozen structs.

An unknown key is an error that names the nearest known one. `deploy/ecg-edge.example.toml` shows every table, and
`python -m edge.service.config_schema` prints the JSON Schema.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edge.alarms.specs import AlarmOverride
from edge.bundle.signature import read_public_key
from edge.classifiers.base import ClassifierConfig
from edge.core.errors import ConfigError
from edge.mqtt.client import BrokerConfig
from edge.mqtt.topics import check_id
from edge.publish.config import PublishConfig
from edge.sources.config import MqttConfig, SourceConfig

_MAX_BYTES = 1 << 20  # a larger file is not a configuration
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")


class DeviceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this device is called on the broker."""

    id: Annotated[
        str,
        Meta(
            description="Name of this device in every topic. It must not name a person or a bed. "
            "Letters, digits, _ and -, 64 at most."
        ),
    ] = "ecg-edge"

    def __post_init__(self) -> None:
        """Raise ValueError when the id does not fit a topic."""
        try:
            check_id(self.id, "device id")
        except ConfigError as exc:
            raise ValueError(str(exc)) from exc


class BundleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which bundles may run, and how a new one takes over while the service runs."""

    public_keys: Annotated[
        tuple[str, ...],
        Meta(
            description="Public keys of those who may sign bundles. With any key here, every bundle must be signed "
            "by one of them, except the shipped ones."
        ),
    ] = ()
    state: Annotated[
        str | None,
        Meta(
            description="Folder for staged bundles and for the last hour of up to eight streams. "
            "Without it, bundles cannot be swapped."
        ),
    ] = None
    most_alarms_per_hour: Annotated[
        float,
        Meta(description="Most alarms per hour and stream that a new bundle may raise on the stored hour. Above 0."),
    ] = 60.0
    probation_s: Annotated[
        float, Meta(description="How long a new bundle must serve before it counts as the last good one. 0 to 86400 s.")
    ] = 60.0

    def __post_init__(self) -> None:
        """Raise ValueError for a malformed key or a limit out of range."""
        for key in self.public_keys:
            read_public_key(key)
        if not self.most_alarms_per_hour > 0:
            raise ValueError(f"most_alarms_per_hour {self.most_alarms_per_hour:g} is not above 0")
        if not 0 <= self.probation_s <= 86_400:
            raise ValueError(f"probation_s {self.probation_s:g} is not in 0 to 86400")


class HealthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the service reports its own health."""

    interval_s: Annotated[
        float, Meta(description="Time between two health messages on MQTT. 0 sends none; otherwise 1 to 86400 s.")
    ] = 30.0
    metrics_port: Annotated[int, Meta(description="TCP port of the Prometheus endpoint. 0 switches it off.")] = 0
    metrics_host: Annotated[
        str,
        Meta(
            description="Address that the endpoint listens on. "
            "It has no password, so keep it on this machine unless the network is trusted."
        ),
    ] = "127.0.0.1"

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range."""
        if not (self.interval_s == 0 or 1 <= self.interval_s <= 86_400):
            raise ValueError(f"interval_s {self.interval_s:g} is neither 0 nor in 1 to 86400")
        if not 0 <= self.metrics_port <= 65535:
            raise ValueError(f"metrics_port {self.metrics_port} is not in 0 to 65535")


class ServiceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration of `ecg-edge run`."""

    source: Annotated[
        tuple[SourceConfig, ...],
        Meta(description="The sources to read, one table [[source]] each. At least one is needed."),
    ]
    device: Annotated[DeviceConfig, Meta(description="What this device is called on the broker.")] = DeviceConfig()
    model: Annotated[str, Meta(description="Name of a shipped bundle, or path of a bundle's folder.")] = "rhythm"
    classifier: Annotated[
        ClassifierConfig, Meta(description="Which graph of the bundle runs, and on which back end.")
    ] = ClassifierConfig()
    broker: Annotated[BrokerConfig, Meta(description="Broker that receives alerts, alarm states and health.")] = (
        BrokerConfig()
    )
    publish: Annotated[
        PublishConfig, Meta(description="What is published, and where it waits while the broker is away.")
    ] = PublishConfig()
    bundle: Annotated[BundleConfig, Meta(description="Which bundles may run, and how a new one takes over.")] = (
        BundleConfig()
    )
    health: Annotated[HealthConfig, Meta(description="How the service reports its own health.")] = HealthConfig()
    alarm: Annotated[
        dict[str, AlarmOverride], Meta(description="Changes to single alarms, by label, such as [alarm.AF].")
    ] = {}

    def __post_init__(self) -> None:
        """Raise ValueError without a source, or when two sources have the same stream id."""
        if not self.source:
            raise ValueError("at least one [[source]] is needed")
        streams = Counter(source.stream_id for source in self.source if not isinstance(source, MqttConfig))
        for stream, count in streams.items():
            if count > 1:
                raise ValueError(f"{count} sources have the stream id {stream!r}; give each its own `stream`")


def read_config(path: Path) -> ServiceConfig:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        When the file cannot be read, is no TOML, or holds a key or a value that is not known.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}; see deploy/ecg-edge.example.toml") from exc
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_BYTES} bytes")
    try:
        return msgspec.toml.decode(raw, type=ServiceConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: {exc}{_hint(str(exc))}") from exc


def _hint(message: str) -> str:
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return ""
    near = difflib.get_close_matches(unknown[1], sorted(set(_known_keys(ServiceConfig))), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _known_keys(struct: type[msgspec.Struct]) -> Iterator[str]:
    """Yield the key of every field of a struct and of the structs in it."""
    waiting: list[object] = [msgspec.inspect.type_info(struct)]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, msgspec.inspect.StructType):
            for field in kind.fields:
                yield field.encode_name
                waiting.append(field.type)
        waiting += getattr(kind, "types", ())  # of a union
        waiting += [inner for name in ("type", "item_type", "value_type") if (inner := getattr(kind, name, None))]
