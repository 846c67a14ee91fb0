"""`ecg-edge demo`: runs the whole path and prints what a subscriber receives."""

import threading

import click
from rich.console import Console

from edge.bundle.manifest import Bundle
from edge.bundle.shipped import find_bundle
from edge.commands.options import model_option
from edge.commands.stopping import stop_on_signal
from edge.commands.watch import show as show_line
from edge.lab.replay import ReplayConfig, replay_recording
from edge.lab.report import Report, show
from edge.mqtt.client import BrokerConfig
from edge.mqtt.embedded_broker import embedded_broker
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import filters
from edge.publish.alert_follower import AlertFollower
from edge.publish.sink import AlertSink, new_publisher
from edge.sources.recordings import SYNTHETIC, Recording, open_recording

_DEVICE = "demo"
_POLL_S = 0.2
_QUIET_S = 2.0  # longest wait for the last alerts


@click.command()
@click.argument("record", default=SYNTHETIC)
@click.option("--speed", type=click.FloatRange(0.1, 10_000), default=None, help="Multiple of real time.")
@model_option()
def demo(record: str, speed: float | None, model: str) -> None:
    r"""Start a broker, send RECORD through the real path, and print the alerts that a subscriber receives.

    RECORD is as for `ecg-edge replay`. Without it, a synthetic patient goes through several rhythms.

    \b
    Examples:
      ecg-edge demo
      ecg-edge demo mitdb/208
      ecg-edge demo synthetic:sinus:20,bigeminy:30,lead_off:20 --speed 10
    """
    recording = open_recording(record)
    bundle = find_bundle(model)
    console = Console(soft_wrap=True)
    if speed is None:
        speed = max(30.0, recording.samples / recording.spec.sample_rate_hz / 12.0)  # it takes about 12 s at most
    config = ReplayConfig(record=record, speed=speed)
    stopped = threading.Event()
    with stop_on_signal(stopped.set), embedded_broker() as (host, port):
        broker = BrokerConfig(host=host, port=port)
        console.print(
            f"{record}, {speed:.0f} times real time ► windows ► bundle {bundle.manifest.name} ► alarms ► MQTT\n"
            f"what a subscriber on {host}:{port} receives:",
            style="dim",
            highlight=False,
        )
        with Subscriber(broker, filters(_DEVICE)) as subscriber:
            report = _play(recording, bundle, config, broker, subscriber, console, stopped)
    show(report, console)


def _play(
    recording: Recording,
    bundle: Bundle,
    config: ReplayConfig,
    broker: BrokerConfig,
    subscriber: Subscriber,
    console: Console,
    stopped: threading.Event,
) -> Report:
    """Replay in this thread while another one prints what arrives; return when everything is printed."""
    published = threading.Event()
    # In another thread, because the replay must not wait for the terminal.
    printer = threading.Thread(target=_print, args=(subscriber, console, published), name="printer", daemon=True)
    printer.start()
    publisher = new_publisher(broker, _DEVICE, bundle)
    publisher.connect()
    try:
        report = replay_recording(recording, bundle, config, sink=AlertSink(publisher), stopped=stopped)
    finally:
        publisher.close()
        published.set()
        printer.join()
    return report


def _print(subscriber: Subscriber, console: Console, published: threading.Event) -> None:
    """Print what arrives, until the device is offline or, after the end of the replay, nothing more arrives."""
    follower = AlertFollower()
    while True:
        ending = published.is_set()
        message = subscriber.get(_QUIET_S if ending else _POLL_S)
        if message is None:
            if ending:
                return
            continue
        line = follower.read(message.topic, message.payload, retained=message.retained)
        if line is not None:
            show_line(console, line)
            if line.kind == "status" and line.record["payload"]["state"] == "offline":
                return
