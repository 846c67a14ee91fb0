"""The container's health check: exit 0 while the service answers on its metrics port, else 1 with one line.

    python healthcheck.py [/etc/ecg-edge/ecg-edge.toml]

Where metrics_port is 0 there is nothing to ask, and the check passes.
"""

import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from edge.core.errors import EdgeError
from edge.service.config import read_config

_TIMEOUT_S = 4.0


def main(path: Path) -> str | None:
    """Return the error, or None."""
    try:
        health = read_config(path).health
        if health.metrics_port:
            connection = HTTPConnection(health.metrics_host, health.metrics_port, timeout=_TIMEOUT_S)
            connection.request("GET", "/metrics")
            status = connection.getresponse().status
            connection.close()
            return None if status == HTTPStatus.OK else f"healthcheck: the metrics answer {status}"
    except (EdgeError, OSError, HTTPException) as exc:
        return f"healthcheck: {exc}"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:2] or ["/etc/ecg-edge/ecg-edge.toml"])))
