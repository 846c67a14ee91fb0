"""Waiting for a condition without sleeping, and a port to listen on."""

import socket
import threading
from collections.abc import Callable

import pytest


def free_port() -> int:
    """Return a free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0, what: str = "the condition") -> None:
    """Return as soon as `condition` holds; fail after `timeout_s`."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail(f"{what} did not come true within {timeout_s:g} s")
