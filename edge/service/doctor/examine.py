"""Runs every check, one after another, whatever it finds."""

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from edge.core.errors import ConfigError
from edge.service.config import ServiceConfig, read_config
from edge.service.doctor.broker import brokers_of, check_broker, probe_broker
from edge.service.doctor.finding import Finding, fail, ok, warn
from edge.service.doctor.host import check_clock, check_folder, folders_of, inspect_folder, read_clock
from edge.service.doctor.model import check_model
from edge.service.doctor.ports import check_ports
from edge.service.doctor.software import check_accelerator, check_python, inspect_accelerator
from edge.service.doctor.unit import check_unit, inspect_unit
from edge.sources.config import SyntheticConfig

INSTALLED = Path("/etc/ecg-edge/ecg-edge.toml")
_DEFAULT = ServiceConfig(source=(SyntheticConfig(),))  # without a configuration, the defaults are checked


def examine(path: Path | None) -> Iterator[Finding]:
    """Yield all findings; `path` is the configuration, by default the installed one, if any."""
    config, finding = _read(path)
    yield finding
    yield from check_python((sys.version_info.major, sys.version_info.minor), platform.python_implementation())
    yield from check_accelerator(inspect_accelerator(), (config or _DEFAULT).classifier)
    yield from check_model(config or _DEFAULT)
    yield from check_ports(config)
    if config is not None:
        for broker, topic in brokers_of(config).items():
            yield from check_broker(probe_broker(broker, topic), time.time())
    yield from check_clock(read_clock())
    yield from _check_disk(config)
    yield from check_unit(inspect_unit())


def _read(path: Path | None) -> tuple[ServiceConfig | None, Finding]:
    if path is None and not INSTALLED.exists():
        message = f"none given, and there is no {INSTALLED}: brokers and ports are not checked"
        return None, warn("configuration", message, "ecg-edge doctor --config FILE")
    path = path or INSTALLED
    try:
        return read_config(path), ok("configuration", str(path))
    except ConfigError as exc:
        return None, fail("configuration", str(exc), f"ecg-edge run --config {path} --check")


def _check_disk(config: ServiceConfig | None) -> Iterator[Finding]:
    if config is None:
        yield from check_folder(inspect_folder(Path(os.environ.get("STATE_DIRECTORY", "").split(":")[0] or ".")), 0)
        return
    for folder in folders_of(config):
        yield from check_folder(inspect_folder(folder), config.publish.outbox_messages)
    if not config.publish.outbox:
        message = "no outbox is configured: alerts that wait for the broker are lost in a power cut"
        yield warn("disk", message, "set outbox in [publish]")
