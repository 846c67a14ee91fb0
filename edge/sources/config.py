"""The configuration of each kind of source, and the one place that turns it into a source.

Knows the names of the sources; imports one, and the library behind it, only when it is opened.
"""

from typing import Literal

import msgspec

from edge.publish.client import BrokerConfig
from edge.sources.base import Source


class WfdbConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="wfdb"):
    """A WFDB record: a path, or a name such as `mitdb/208`."""

    record: str
    block_s: float = 0.5


class SyntheticConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="synthetic"
):
    """A scripted, seeded ECG: the name of a scenario, or a script such as `sinus:30 af:40`."""

    scenario: str = "demo"
    seed: int = 0
    sample_rate_hz: float = 250.0
    leads: tuple[str, ...] = ("II", "V1")


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


class MqttConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="mqtt"):
    """Devices that publish their samples to a broker; the `+` of the topic is the stream's id."""

    topic: str = "ecg/+/samples"
    broker: BrokerConfig | None = None  # None: the service's own, to which alerts go; else the one on this machine
    connect_timeout_s: float = 10.0
    queue_payloads: int = 256
    max_streams: int = 64
    silent_after_s: float = 5.0
    forget_after_s: float = 86_400.0  # a device that is silent for so long is no longer waited for


SourceConfig = WfdbConfig | SyntheticConfig | SerialConfig | MqttConfig


def open_source(config: SourceConfig) -> Source:
    """Return the source that `config` describes; its wire is opened by `blocks`.

    Raises
    ------
    ConfigError
        When a value cannot be meant.
    SourceError
        When a record cannot be opened, or a library is missing.
    """
    match config:
        case WfdbConfig():
            from edge.sources.wfdb_record import WfdbRecordSource

            return WfdbRecordSource(config.record, config.block_s)
        case SyntheticConfig():
            from edge.sources.synthetic import SyntheticSource

            return SyntheticSource(
                config.scenario, seed=config.seed, sample_rate_hz=config.sample_rate_hz, leads=config.leads
            )
        case SerialConfig():
            from edge.sources.serial_port import SerialPortSource

            return SerialPortSource(config)
        case MqttConfig():
            from edge.sources.mqtt_topic import MqttTopicSource

            return MqttTopicSource(config)
