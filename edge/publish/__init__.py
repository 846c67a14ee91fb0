"""Alerts and status over MQTT: payloads, outbox, connection, Home Assistant."""
