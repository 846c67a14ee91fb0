"""`ecg-edge watch`: what a subscriber sees."""

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
_POLL_S = 0.2  # how soon Ctrl-C is seen


@click.command()
@login_options(default="localhost:1883")
@click.option("--device", metavar="ID", help="Follow this device alone; without it, all.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line.")
def watch(broker: BrokerConfig, device: str | None, as_json: bool) -> None:
    r"""Follow alerts, alarm states and status of devices until Ctrl-C; each fact is told once.

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
        click.echo(f"messages that were not valid: {causes}", err=True)
    if subscriber.dropped:
        click.echo(f"messages that came too fast to be shown: {subscriber.dropped}", err=True)


def _follow(subscriber: Subscriber, follower: AlertFollower, stopped: threading.Event, *, as_json: bool) -> None:
    console = Console(soft_wrap=True)
    while not stopped.is_set():
        message = subscriber.get(_POLL_S)
        line = None if message is None else follower.read(message.topic, message.payload, retained=message.retained)
        if line is not None:
            show(console, line, as_json=as_json)


def show(console: Console, line: Line, *, as_json: bool = False) -> None:
    """Print one line; what is not valid goes to standard error, so that standard output stays JSON."""
    if line.kind == "bad":
        click.echo(f"not valid: {line.text}", err=True)
    elif as_json:
        click.echo(json.dumps(line.record))
    else:
        style = _STYLES.get(line.priority, "dim")
        console.print(f"[{style}]{line.priority:>6}[/]  {escape(line.text)}", highlight=False)
