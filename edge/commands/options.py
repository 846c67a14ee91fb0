"""Command-line options that several commands share, and where their reports go."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click
from rich.console import Console

from edge.classifiers.base import ClassifierConfig
from edge.core.leads import check_leads

MQTT_PORT = 1883
_MAX_THREADS = 8  # of ONNX Runtime in one run of the graph

F = TypeVar("F", bound=Callable[..., Any])


class Address(NamedTuple):
    """Address of a broker."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `HOST`, `HOST:PORT` or `[IPV6]:PORT`; the default port is 1883.

    Raises
    ------
    ValueError
        When the text is none of these, or the port is not in 1 to 65535.
    """
    # urlsplit knows the brackets of IPv6 addresses.
    parts = urlsplit(f"//{text}")
    port = MQTT_PORT if parts.port is None else parts.port
    if not parts.hostname or parts.netloc != text or "@" in text or not port:
        raise ValueError("this is not HOST:PORT")
    return Address(parts.hostname, port)


def _to_address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Address | None:
    try:
        return None if value is None else parse_address(value)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: {exc}; write localhost:1883 or [::1]:1883") from exc


def broker_option(*, required: bool = False, default: str | None = None) -> Callable[[F], F]:
    """Return the option `--broker HOST:PORT`, passed as `broker: Address` (None when absent and not required)."""
    text = f"MQTT broker; the default port is {MQTT_PORT}."
    return click.option(
        "--broker",
        callback=_to_address,
        metavar="HOST:PORT",
        required=required,
        default=default,
        show_default=True,
        help=text,
    )


def _check_writable(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that cannot be created, before the work begins."""
    if path is not None and not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"{str(path)!r}: the folder {str(path.parent)!r} does not exist or is not writable")
    return path


def json_option() -> Callable[[F], F]:
    """Return the option `--json FILE`, passed as `json_path: Path | None`; `-` is standard output."""
    kind = click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path)
    return click.option(
        "--json",
        "json_path",
        type=kind,
        callback=_check_writable,
        metavar="FILE",
        help="Write the result as JSON ('-': stdout).",
    )


def results_option(heading: str) -> Callable[[F], F]:
    """Return `--results FILE` and `--section HEADING`, passed as `results: Path | None` and `section: str`."""

    def both(command: F) -> F:
        kind = click.Path(dir_okay=False, writable=True, path_type=Path)
        text = "Write the tables into this Markdown file, as the section --section."
        command = click.option("--results", type=kind, callback=_check_writable, metavar="FILE", help=text)(command)
        return click.option(
            "--section", default=heading, show_default=True, help="Heading of the section in --results."
        )(command)

    return both


def model_option() -> Callable[[F], F]:
    """Return the option `--model BUNDLE`, passed as `model: str`."""
    text = "Name of a shipped bundle, or folder of any bundle."
    return click.option("--model", metavar="BUNDLE", default="rhythm", show_default=True, help=text)


class LeadChoice(NamedTuple):
    """The leads that a command uses of each record."""

    leads: tuple[str, ...] = ()  # of each channel, in order, `-` for one that is left out; empty: by their names
    first: int | None = None  # only so many leads; None: all


def _to_leads(_ctx: click.Context, _param: click.Parameter, value: str | None) -> LeadChoice:
    if value is None:
        return LeadChoice()
    if value.strip().isdecimal() and int(value):
        return LeadChoice(first=int(value))
    leads = tuple(name.strip() for name in value.split(","))
    try:
        check_leads(leads)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc
    return LeadChoice(leads)


def leads_option() -> Callable[[F], F]:
    """Return the option `--leads NAME,NAME`, passed as `leads: LeadChoice`."""
    text = "Lead of each channel, in order, such as II,V1; - leaves one out. A number uses only so many leads."
    return click.option("--leads", callback=_to_leads, metavar="NAME,...|N", help=text)


def report_console(json_path: Path | None) -> Console:
    """Return the console for people: standard error while the JSON goes to standard output."""
    return Console(stderr=json_path is not None and str(json_path) == "-")


def offline_classifier(precision: str = ClassifierConfig().precision) -> ClassifierConfig:
    """Return the classifier of a command that has the machine to itself, unlike the service: on all cores."""
    return ClassifierConfig(precision=precision, threads=min(os.cpu_count() or 1, _MAX_THREADS))
