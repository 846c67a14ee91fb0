"""The options of a command that connects to a broker: address, TLS and password."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import click

from edge.commands.options import Address, broker_option
from edge.mqtt.client import BrokerConfig

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = {
    "ca_file": "Use TLS and trust these certificates.",
    "cert_file": "This client's certificate, if the broker requires one.",
    "key_file": "The key of that certificate, if it is in a separate file.",
    "username": "Name to log in with.",
    "password_file": "File with the password.",
}


def login_options(default: str | None = None) -> Callable[[F], F]:
    """Return `--broker` and the options of TLS and password, passed as `broker: BrokerConfig | None`."""

    # Seven options become one argument, so that no command has to pass them on.
    def wrap(command: F) -> F:
        @wraps(command)
        def run(*arguments: object, broker: Address | None, **options: Any) -> object:  # noqa: ANN401  click's
            login = {name: options.pop(name) for name in _OPTIONS}
            return command(*arguments, broker=None if broker is None else _config(broker, login), **options)

        wrapped = cast("F", run)
        for name, text in reversed(_OPTIONS.items()):
            metavar = "FILE" if name.endswith("file") else "NAME"
            wrapped = click.option(f"--{name.replace('_', '-')}", metavar=metavar, help=text)(wrapped)
        return broker_option(default=default)(wrapped)

    return wrap


def _config(broker: Address, login: dict[str, Any]) -> BrokerConfig:
    try:
        return BrokerConfig(host=broker.host, port=broker.port, **login)
    except ValueError as exc:
        raise click.UsageError(re.sub(r"(\w+)_file", r"--\1-file", str(exc))) from exc
