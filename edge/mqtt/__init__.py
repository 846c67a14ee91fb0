"""MQTT: client, TLS, topics, subscriber, and a broker for demos."""
