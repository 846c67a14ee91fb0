"""Serial ports: whether each that is configured is there, by a name that stays, and may be read."""

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
    """What is known of a port without opening it, for that would restart many a device."""

    path: str
    exists: bool
    is_device: bool
    usable: bool  # by this user
    group: str
    stable: str | None  # its name below /dev/serial/by-id, where it was named otherwise


def look_at_port(name: str) -> Port:
    """Return what there is."""
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


def names_there() -> tuple[str, ...]:
    """Return the stable names of all ports that are plugged in."""
    return tuple(sorted(link.name for link in BY_ID.iterdir())) if BY_ID.is_dir() else ()


def check_ports(config: ServiceConfig | None) -> Iterator[Finding]:
    """Judge every port of the configuration; without one, say which ports there are."""
    there = names_there()
    serial = [source for source in config.source if isinstance(source, SerialConfig)] if config is not None else []
    if not serial:
        yield ok("serial ports", f"none is configured; plugged in: {', '.join(there) or 'none'}")
    for source in serial:
        yield from judge_port(look_at_port(source.port), there)


def judge_port(port: Port, there: tuple[str, ...]) -> Iterator[Finding]:
    """Judge one port, given the stable names of those that are plugged in."""
    check = "serial ports"
    if not port.exists:
        seen = ", ".join(there) or "none"
        yield fail(
            check,
            f"{port.path} is not there; plugged in: {seen}",
            "ls -l /dev/serial/by-id  # plug it in, or correct `port`",
        )
    elif not port.is_device:
        yield fail(check, f"{port.path} is no device", "ls -l /dev/serial/by-id  # and correct `port`")
    elif not port.usable:
        mend = f"sudo usermod -aG {port.group} $USER  # and log in again; the service has SupplementaryGroups"
        yield fail(check, f"{port.path} may not be read and written by this user; its group is {port.group}", mend)
    elif port.stable is not None:
        name = Path(port.stable).name
        yield warn(check, f"{port.path} may get another name when it is plugged in again", f"set port = {name!r}")
    else:
        yield ok(check, f"{port.path} is there, group {port.group}")


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
