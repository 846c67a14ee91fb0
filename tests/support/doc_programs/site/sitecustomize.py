"""Every broker that the documentation names is the one of the sandbox: its ports lead there, whatever the host."""

import os
import socket

_connect = socket.create_connection
_PORTS = {1883, 8883}


def _to_sandbox(address, *args, **kwargs):
    if address[1] in _PORTS and "DOCS_BROKER_PORT" in os.environ:
        address = ("127.0.0.1", int(os.environ["DOCS_BROKER_PORT"]))
    return _connect(address, *args, **kwargs)


socket.create_connection = _to_sandbox
