"""The device: from bytes on a wire to alerts on MQTT. It needs no torch and no training code."""

__version__ = "0.1.0"
