"""The wire formats: bytes to blocks of samples, and back for those that a replay sends."""
