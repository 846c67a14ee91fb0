"""Health: how the service itself does, for those who look after it."""
