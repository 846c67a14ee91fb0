"""Bytes to samples and back: the serial frame, ASCII lines, and the MQTT payload."""
