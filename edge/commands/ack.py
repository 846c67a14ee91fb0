"""`ecg-edge ack`: acknowledges or silences an alarm."""

import time

import click

from edge.alarms.command import MAX_SILENCE_S, Command
from edge.commands.login import login_options
from edge.core.errors import BrokerError, EdgeError, FrameError
from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import alerts_topic, check_id, commands_topic
from edge.publish.cloud_events import AlertEvent
from edge.publish.payloads import decode, encode

_WAIT_S = 0.2


@click.command()
@click.argument("label")
@login_options(default="localhost:1883")
@click.option("--device", metavar="ID", required=True, help="Id of the device, as `ecg-edge watch` shows it.")
@click.option("--stream", metavar="ID", required=True, help="Id of the stream.")
@click.option(
    "--silence",
    "silence_s",
    type=click.FloatRange(0, MAX_SILENCE_S, min_open=True),
    metavar="SECONDS",
    help=f"Also silence it: it is not raised again for this long, {MAX_SILENCE_S:g} s at most.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 60),
    default=5.0,
    metavar="SECONDS",
    help="Time limit for the answer.",
)
def ack(
    label: str,
    broker: BrokerConfig,
    device: str,
    stream: str,
    silence_s: float | None,
    timeout_s: float,
) -> None:
    r"""Acknowledge the alarm LABEL that is on, and wait for the device's answer.

    A latched alarm then ends; any other ends with its condition. When the alarm is not on there is no answer, and the
    exit code is 1.

    \b
    Examples:
      ecg-edge ack --device ecg-edge --stream bed-7 AF
      ecg-edge ack --broker ward:1883 --device ecg-edge --stream bed-7 LEAD_OFF --silence 120
    """
    if silence_s is None:
        command = Command(command="acknowledge", label=check_id(label, "label"))
    else:
        command = Command(command="silence", label=check_id(label, "label"), silence_s=silence_s)
    answer = "acknowledged" if silence_s is None else "silenced"
    # Subscribed before the command is sent, so that the answer cannot be missed.
    with Subscriber(broker, [alerts_topic(device, stream)]) as subscriber:
        _send(broker, commands_topic(device, stream), command, timeout_s)
        alert = _await(subscriber, f"ecg-nat.alarm.{answer}", label, timeout_s)
    if alert is None:
        raise EdgeError(
            f"no answer from {device}/{stream} within {timeout_s:g} s: is {label} on and not acknowledged yet? "
            f"Check with: ecg-edge watch --broker {broker.address}"
        )
    click.echo(f"{device}/{stream}  {answer.upper()}  {alert.data.name}")


def _send(config: BrokerConfig, topic: str, command: Command, timeout_s: float) -> None:
    client = new_client(config)
    open_connection(client, config)
    try:
        sent = client.publish(topic, encode(command), qos=1)
        sent.wait_for_publish(timeout_s)
        if not sent.is_published():
            raise BrokerError(f"{config.address}: the command was not sent within {timeout_s:g} s")
    except RuntimeError as exc:  # from paho, when the connection was lost
        raise BrokerError(f"{config.address}: {exc}") from exc
    finally:
        client.disconnect()
        client.loop_stop()


def _await(subscriber: Subscriber, kind: str, label: str, timeout_s: float) -> AlertEvent | None:
    """Return the alert that answers, or None when none comes in time; other messages are ignored."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        message = subscriber.get(_WAIT_S)
        try:
            alert = None if message is None else decode(message.payload, AlertEvent)
        except FrameError:
            continue
        if alert is not None and (alert.type, alert.subject) == (kind, label):
            return alert
    return None
