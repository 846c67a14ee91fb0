"""Exit 0 while the service answers on its metrics port, else 1 with one line; the container's health check.

python healthcheck.py [/etc/ecg-edge/ecg-edge.toml]. Where metrics_port is 0 nobody can be asked, and nothing is wrong.
"""

import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from edge.core.errors import EdgeError
from edge.service.config import read_config

_PATIENCE_S = 4.0


def main(path: Path) -> str | None:
    """Return what is wrong, or None."""
    try:
        health = read_config(path).health
        if health.metrics_port:
            connection = HTTPConnection(health.metrics_host, health.metrics_port, timeout=_PATIENCE_S)
            connection.request("GET", "/metrics")
            status = connection.getresponse().status
            connection.close()
            return None if status == HTTPStatus.OK else f"healthcheck: the metrics answer {status}"
    except (EdgeError, OSError, HTTPException) as exc:
        return f"healthcheck: {exc}"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:2] or ["/etc/ecg-edge/ecg-edge.toml"])))
