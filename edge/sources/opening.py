"""Opens the source that a configuration describes; each source and its library are imported only when needed."""

from edge.sources.base import Source
from edge.sources.config import MqttConfig, SerialConfig, SourceConfig, SyntheticConfig, WfdbConfig


def open_source(config: SourceConfig) -> Source:
    """Return the source that `config` describes; `blocks` opens its wire.

    Raises
    ------
    ConfigError
        When a value is out of range.
    SourceError
        When a record cannot be opened, or a library is missing.
    """
    match config:
        case WfdbConfig():
            from edge.sources.wfdb_record import WfdbRecordSource

            return WfdbRecordSource(config.record, config.block_s, config.stream_id, config.leads)
        case SyntheticConfig():
            from edge.sources.synthetic import SyntheticSource

            return SyntheticSource(
                config.scenario,
                seed=config.seed,
                sample_rate_hz=config.sample_rate_hz,
                leads=config.leads,
                stream=config.stream,
            )
        case SerialConfig():
            from edge.sources.serial_port import SerialPortSource

            return SerialPortSource(config)
        case MqttConfig():
            from edge.sources.mqtt_topic import MqttTopicSource

            return MqttTopicSource(config)
