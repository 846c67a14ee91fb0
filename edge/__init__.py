"""The device: from bytes on a wire to alerts on MQTT. Knows nothing of torch or of training."""

__version__ = "0.1.0"
