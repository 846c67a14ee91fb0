"""The configuration of each kind of source: the tables `[[source]]`."""

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.core.errors import ConfigError
from edge.core.leads import check_leads
from edge.mqtt.client import BrokerConfig
from edge.mqtt.topics import check_id, stream_id

SilentAfter = Annotated[
    float,
    Meta(description="After this long without data, the missing samples are counted as silent. 0.01 to 3600 s."),
]


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
    """A WFDB record, replayed at its own pace or faster."""

    record: Annotated[str, Meta(description="Path of a WFDB record, or its name on PhysioNet, such as mitdb/208.")]
    block_s: Annotated[float, Meta(description="Length of the blocks that the record is read in. 0.01 to 60 s.")] = 0.5
    speed: Annotated[float, Meta(description="Replay speed as a multiple of real time. 0.01 to 10000.")] = 1.0
    stream: Annotated[
        str, Meta(description="Id of the stream. Empty: made from the record's name, mitdb-208 for mitdb/208.")
    ] = ""
    leads: Annotated[
        tuple[str, ...],
        Meta(
            description="Lead of each channel of the record, in order, such as II and V1; - leaves a channel out. "
            "Empty: by the names in the record's header."
        ),
    ] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range."""
        _check("block_s", self.block_s, 0.01, 60.0)
        _check("speed", self.speed, 0.01, 10_000.0)
        _check_stream(self.stream_id)
        if self.leads:
            check_leads(self.leads)

    @property
    def stream_id(self) -> str:
        """The stream's id."""
        return self.stream or stream_id(self.record)


class SyntheticConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="synthetic"
):
    """A synthetic ECG that follows a script and a seed."""

    scenario: Annotated[
        str, Meta(description="Name of a scenario, or a script of rhythms and seconds, such as 'sinus:30 af:40'.")
    ] = "demo"
    seed: Annotated[int, Meta(description="Seed of the random numbers. The same seed gives the same ECG.")] = 0
    sample_rate_hz: Annotated[float, Meta(description="Samples per second and lead.")] = 250.0
    leads: Annotated[tuple[str, ...], Meta(description="Names of the leads, such as II and V1.")] = ("II", "V1")
    speed: Annotated[float, Meta(description="Speed as a multiple of real time. 0.01 to 10000.")] = 1.0
    stream: Annotated[str, Meta(description="Id of the stream.")] = "synthetic"

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range; the source checks the rest."""
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
    """A device on a serial port. Keys that are not set take the format's own values."""

    port: Annotated[
        str, Meta(description="Path of the port, or a name below /dev/serial/by-id, which follows the device.")
    ]
    baud: Annotated[int, Meta(description="Bits per second. 50 to 12000000.")] = 115_200
    format: Annotated[
        SerialFormat,
        Meta(
            description="Wire format: frame (our own, see deploy/firmware), ascii (AD8232 sketch), cyton (OpenBCI), "
            "ads1292r or healthypi (ProtoCentral)."
        ),
    ] = "frame"
    stream: Annotated[str, Meta(description="Id of the stream.")] = "serial"
    silent_after_s: SilentAfter = 5.0
    leads: Annotated[
        tuple[str, ...],
        Meta(
            description="Names of the device's channels in its order. "
            "A Cyton channel named - is left out. Frames name their own leads."
        ),
    ] = ()
    sample_rate_hz: Annotated[
        float | None, Meta(description="Samples per second, where the format's own is wrong.")
    ] = None
    gain: Annotated[float | None, Meta(description="ADC units per millivolt, where the format's own is wrong.")] = None
    baseline: Annotated[int | None, Meta(description="ADC value of 0 mV, where the format's own is wrong.")] = None
    adc_max: Annotated[int, Meta(description="Largest ADC value of ASCII lines. 1 to 16777215.")] = 1023
    width: Annotated[
        Literal[2, 4] | None,
        Meta(description="Bytes of one ProtoCentral sample, where the packet's length leaves it open."),
    ] = None

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range; the decoder checks the rest."""
        _check("baud", self.baud, 50, 12_000_000)
        _check_silence(self.silent_after_s)
        _check("adc_max", self.adc_max, 1, (1 << 24) - 1)
        _check_stream(self.stream)

    @property
    def stream_id(self) -> str:
        """The stream's id."""
        return self.stream


class MqttConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="mqtt"):
    """Devices that publish their samples to an MQTT broker."""

    topic: Annotated[str, Meta(description="Topic filter. Its + is the id of the stream.")] = "ecg/+/samples"
    broker: Annotated[
        BrokerConfig | None, Meta(description="Broker of the devices. Without it, the service's own broker is used.")
    ] = None
    connect_timeout_s: Annotated[float, Meta(description="Time limit for the first connection. 0.1 to 3600 s.")] = 10.0
    queue_payloads: Annotated[
        int,
        Meta(description="Most payloads of one device that wait. More are counted as overrun. 1 to 100000."),
    ] = 256
    max_payloads_per_s: Annotated[
        float,
        Meta(
            description="Most payloads per second of one device. "
            "Each 4 KB counts as one, and 10 s worth may come at once. At least 1."
        ),
    ] = 100.0
    max_streams: Annotated[int, Meta(description="Most devices at the same time. 1 to 10000.")] = 64
    silent_after_s: SilentAfter = 5.0
    forget_after_s: Annotated[
        float,
        Meta(
            description="After this long without data, the stream of a device ends. "
            "When a new device needs room, five minutes are enough."
        ),
    ] = 86_400.0

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range; the source checks the topic."""
        _check("connect_timeout_s", self.connect_timeout_s, 0.1, 3600.0)
        _check("queue_payloads", self.queue_payloads, 1, 100_000)
        _check("max_streams", self.max_streams, 1, 10_000)
        _check("max_payloads_per_s", self.max_payloads_per_s, 1.0, math.inf)
        _check_silence(self.silent_after_s)
        _check("forget_after_s", self.forget_after_s, 0.01, math.inf)


SourceConfig = WfdbConfig | SyntheticConfig | SerialConfig | MqttConfig
