"""The service: configuration, supervisor, health, doctor, model swap."""
