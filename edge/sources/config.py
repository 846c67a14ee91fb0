"""The configuration of each kind of source."""

import math
from typing import Literal

import msgspec

from edge.core.errors import ConfigError
from edge.mqtt.client import BrokerConfig
from edge.mqtt.topics import check_id, stream_id


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # true for NaN too
        raise ValueError(f"{name} {value:g} is not in {low:g} to {high:g}")


def _check_silence(silent_after_s: float) -> None:
    if silent_after_s != math.inf:  # never silent, as a recording that is replayed
        _check("silent_after_s", silent_after_s, 0.01, 3600.0)


def _check_stream(stream: str) -> None:
    try:
        check_id(stream, "stream")
    except ConfigError as exc:
        raise ValueError(str(exc)) from exc


class WfdbConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="wfdb"):
    """A WFDB record: a path, or a name such as `mitdb/208`."""

    record: str
    block_s: float = 0.5
    speed: float = 1.0  # multiple of real time
    stream: str = ""  # empty: made from the record's name, see `stream_id`

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be meant."""
        _check("block_s", self.block_s, 0.01, 60.0)
        _check("speed", self.speed, 0.01, 10_000.0)
        _check_stream(self.stream_id)

    @property
    def stream_id(self) -> str:
        """The stream's id."""
        return self.stream or stream_id(self.record)


class SyntheticConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="synthetic"
):
    """A scripted, seeded ECG: the name of a scenario, or a script such as `sinus:30 af:40`."""

    scenario: str = "demo"
    seed: int = 0
    sample_rate_hz: float = 250.0
    leads: tuple[str, ...] = ("II", "V1")
    speed: float = 1.0  # multiple of real time
    stream: str = "synthetic"

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be meant; the source itself checks the rest."""
        _check("speed", self.speed, 0.01, 10_000.0)
        _check_stream(self.stream)

    @property
    def stream_id(self) -> str:
        """The stream's id."""
        return self.stream


SerialFormat = Literal["frame", "ascii", "cyton", "ads1292r", "healthypi"]


class SerialConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="serial"
):
    """A device on a serial port. Frames describe themselves; what is None or empty is as the format has it."""

    port: str  # a path, or a name below /dev/serial/by-id
    baud: int = 115_200
    format: SerialFormat = "frame"
    stream: str = "serial"
    silent_after_s: float = 5.0
    leads: tuple[str, ...] = ()  # names in the device's order; `-` leaves a Cyton's channel out
    sample_rate_hz: float | None = None
    gain: float | None = None  # ADC units per mV
    baseline: int | None = None  # ADC value of 0 mV
    adc_max: int = 1023  # of ASCII lines
    width: Literal[2, 4] | None = None  # bytes of a ProtoCentral sample, where the packet's length does not tell

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be meant; the decoder checks the rest."""
        _check("baud", self.baud, 50, 12_000_000)
        _check_silence(self.silent_after_s)
        _check("adc_max", self.adc_max, 1, (1 << 24) - 1)
        _check_stream(self.stream)

    @property
    def stream_id(self) -> str:
        """The stream's id."""
        return self.stream


class MqttConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="mqtt"):
    """Devices that publish their samples to a broker; the `+` of the topic is the stream's id."""

    topic: str = "ecg/+/samples"
    broker: BrokerConfig | None = None  # None: the service's own, to which alerts go; else the one on this machine
    connect_timeout_s: float = 10.0
    queue_payloads: int = 256  # of one device, that wait at most
    max_payloads_per_s: float = 100.0  # of one device; a large one counts for each 4 KB; 10 s worth may come at once
    max_streams: int = 64
    silent_after_s: float = 5.0
    forget_after_s: float = 86_400.0  # a device that is silent for so long is no longer waited for

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be meant; the source itself checks the topic."""
        _check("connect_timeout_s", self.connect_timeout_s, 0.1, 3600.0)
        _check("queue_payloads", self.queue_payloads, 1, 100_000)
        _check("max_streams", self.max_streams, 1, 10_000)
        _check("max_payloads_per_s", self.max_payloads_per_s, 1.0, math.inf)
        _check_silence(self.silent_after_s)
        _check("forget_after_s", self.forget_after_s, 0.01, math.inf)


SourceConfig = WfdbConfig | SyntheticConfig | SerialConfig | MqttConfig
