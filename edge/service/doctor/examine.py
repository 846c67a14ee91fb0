"""Examines everything, one thing after another, and never stops at what it finds."""

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from edge.core.errors import ConfigError
from edge.service.config import ServiceConfig, read_config
from edge.service.doctor.broker import brokers_of, check_broker, try_broker
from edge.service.doctor.finding import Finding, fail, ok, warn
from edge.service.doctor.host import check_clock, check_folder, folders_of, look_at_clock, look_at_folder
from edge.service.doctor.model import check_model
from edge.service.doctor.ports import check_ports
from edge.service.doctor.software import check_accelerator, check_python, look_for_accelerator
from edge.service.doctor.unit import check_unit, look_at_unit
from edge.sources.config import SyntheticConfig

INSTALLED = Path("/etc/ecg-edge/ecg-edge.toml")
_PLAIN = ServiceConfig(source=(SyntheticConfig(),))  # what is not configured is looked at as it is by default


def examine(path: Path | None) -> Iterator[Finding]:
    """Yield what is found; `path` is the configuration, where None is the one that is installed, if there is one."""
    config, found = _read(path)
    yield found
    yield from check_python((sys.version_info.major, sys.version_info.minor), platform.python_implementation())
    yield from check_accelerator(look_for_accelerator(), (config or _PLAIN).classifier)
    yield from check_model(config or _PLAIN)
    yield from check_ports(config)
    if config is not None:
        for broker, topic in brokers_of(config).items():
            yield from check_broker(try_broker(broker, topic), time.time())
    yield from check_clock(look_at_clock())
    yield from _check_disk(config)
    yield from check_unit(look_at_unit())


def _read(path: Path | None) -> tuple[ServiceConfig | None, Finding]:
    if path is None and not INSTALLED.exists():
        what = f"none given, and no {INSTALLED}: brokers and ports are not looked at"
        return None, warn("configuration", what, "ecg-edge doctor --config FILE")
    path = path or INSTALLED
    try:
        return read_config(path), ok("configuration", str(path))
    except ConfigError as exc:
        return None, fail("configuration", str(exc), f"ecg-edge run --config {path} --check")


def _check_disk(config: ServiceConfig | None) -> Iterator[Finding]:
    if config is None:
        yield from check_folder(look_at_folder(Path(os.environ.get("STATE_DIRECTORY", "").split(":")[0] or ".")), 0)
        return
    for folder in folders_of(config):
        yield from check_folder(look_at_folder(folder), config.publish.outbox_messages)
    if not config.publish.outbox:
        what = "there is no outbox: alerts that wait for the broker are lost with a power cut"
        yield warn("disk", what, "set outbox in [publish]")
