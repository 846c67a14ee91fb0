"""MQTT client, TLS, topics."""
