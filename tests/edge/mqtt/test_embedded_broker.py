"""The embedded broker starts and ends; the tests of the publisher show how it handles messages."""

import socket
import sys

import pytest

from edge.core.errors import BrokerError
from edge.mqtt.embedded_broker import embedded_broker


def test_it_listens_on_this_machine_only_and_ends() -> None:
    with embedded_broker() as (host, port):
        assert host == "127.0.0.1"
        socket.create_connection((host, port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=5)


def test_two_can_run_at_once() -> None:
    with embedded_broker() as first, embedded_broker() as second:
        assert first != second


def test_without_it_the_error_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "iotcore", None)
    with pytest.raises(BrokerError, match=r"pip install 'ecg-nat\[demo\]'"), embedded_broker():
        pass
