"""Serial ports: whether each configured port exists, has a stable name, and may be read."""

import grp
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edge.service.config import ServiceConfig
from edge.service.doctor.finding import Finding, fail, ok, warn
from edge.sources.config import SerialConfig
from edge.sources.serial_port import BY_ID, port_path, stable_name


class Port(NamedTuple):
    """What is known of a port without opening it; opening it would restart many devices."""

    path: str
    exists: bool
    is_device: bool
    usable: bool  # by this user
    group: str
    stable: str | None  # its name below /dev/serial/by-id, when `path` is another one


def inspect_port(name: str) -> Port:
    """Return what is known of a port."""
    path = Path(port_path(name))
    try:
        status = path.stat()
    except OSError:
        return Port(str(path), exists=False, is_device=False, usable=False, group="", stable=None)
    return Port(
        path=str(path),
        exists=True,
        is_device=stat.S_ISCHR(status.st_mode),
        usable=os.access(path, os.R_OK | os.W_OK),
        group=_group(status.st_gid),
        stable=stable_name(str(path)),
    )


def plugged_in() -> tuple[str, ...]:
    """Return the stable names of all ports that exist."""
    return tuple(sorted(link.name for link in BY_ID.iterdir())) if BY_ID.is_dir() else ()


def check_ports(config: ServiceConfig | None) -> Iterator[Finding]:
    """Check every port of the configuration; without one, list the ports that exist."""
    names = plugged_in()
    serial = [source for source in config.source if isinstance(source, SerialConfig)] if config is not None else []
    if not serial:
        yield ok("serial ports", f"none is configured; plugged in: {', '.join(names) or 'none'}")
    for source in serial:
        yield from check_port(inspect_port(source.port), names)


def check_port(port: Port, names: tuple[str, ...]) -> Iterator[Finding]:
    """Check one port; `names` are the stable names of the ports that exist."""
    check = "serial ports"
    if not port.exists:
        yield fail(
            check,
            f"{port.path} does not exist; plugged in: {', '.join(names) or 'none'}",
            "ls -l /dev/serial/by-id  # plug it in, or correct `port`",
        )
    elif not port.is_device:
        yield fail(check, f"{port.path} is not a device", "ls -l /dev/serial/by-id  # and correct `port`")
    elif not port.usable:
        fix = f"sudo usermod -aG {port.group} $USER  # and log in again; the service has SupplementaryGroups"
        yield fail(check, f"this user may not read and write {port.path}; its group is {port.group}", fix)
    elif port.stable is not None:
        name = Path(port.stable).name
        yield warn(check, f"{port.path} may get another name when it is plugged in again", f"set port = {name!r}")
    else:
        yield ok(check, f"{port.path} exists, group {port.group}")


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
