"""`ecg-edge watch`: follows the alerts of devices on a broker."""

import json
import threading

import click
from rich.console import Console
from rich.markup import escape

from edge.commands.login import login_options
from edge.commands.stopping import stop_on_signal
from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import filters
from edge.publish.alert_follower import AlertFollower, Line

_STYLES = {"high": "bold red", "medium": "yellow", "low": "cyan", "none": "dim"}
_POLL_S = 0.2  # longest wait before Ctrl-C is checked


@click.command()
@login_options(default="localhost:1883")
@click.option("--device", metavar="ID", help="Follow only this device; default: all.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line.")
def watch(broker: BrokerConfig, device: str | None, as_json: bool) -> None:
    r"""Follow alerts, alarm states and status of devices until Ctrl-C; repetitions are left out.

    \b
    Example:
      ecg-edge watch --broker localhost:1883 --json
    """
    follower = AlertFollower()
    subscriber = Subscriber(broker, filters(device))
    stopped = threading.Event()
    with stop_on_signal(stopped.set), subscriber:
        _follow(subscriber, follower, stopped, as_json=as_json)
    if follower.bad:
        causes = ", ".join(f"{count} by {cause}" for cause, count in follower.bad.items())
        click.echo(f"invalid messages: {causes}", err=True)
    if subscriber.dropped:
        click.echo(f"messages dropped because they came too fast: {subscriber.dropped}", err=True)


def _follow(subscriber: Subscriber, follower: AlertFollower, stopped: threading.Event, *, as_json: bool) -> None:
    console = Console(soft_wrap=True)
    while not stopped.is_set():
        message = subscriber.get(_POLL_S)
        line = None if message is None else follower.read(message.topic, message.payload, retained=message.retained)
        if line is not None:
            show(console, line, as_json=as_json)


def show(console: Console, line: Line, *, as_json: bool = False) -> None:
    """Print one line; invalid messages go to standard error, so that standard output stays JSON."""
    if line.kind == "bad":
        click.echo(f"invalid: {line.text}", err=True)
    elif as_json:
        click.echo(json.dumps(line.record))
    else:
        style = _STYLES.get(line.priority, "dim")
        console.print(f"[{style}]{line.priority:>6}[/]  {escape(line.text)}", highlight=False)
