"""`ecg-edge replay`: sends a record through the real path."""

import threading
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console

from edge.bundle.manifest import Bundle
from edge.bundle.shipped import find_bundle
from edge.commands.options import (
    Address,
    LeadChoice,
    broker_option,
    json_option,
    leads_option,
    model_option,
    offline_classifier,
    report_console,
)
from edge.commands.progress import ecg_progress
from edge.commands.stopping import stop_on_signal
from edge.core.output import write_json
from edge.lab.replay import ReplayConfig, replay_recording
from edge.lab.report import Report, show
from edge.lab.transports import TRANSPORTS, Via
from edge.monitor.update import Sink
from edge.mqtt.client import BrokerConfig
from edge.publish.sink import AlertSink, new_publisher
from edge.sources.recordings import Recording, lead_notice, open_recording


class Speed(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A multiple of real time, or `max`."""

    name = "1|N|max"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Return a float; infinity is `max`."""
        if value == "max":
            return float("inf")
        try:
            speed = float(str(value))
        except ValueError:
            speed = float("nan")
        if not 0 < speed <= 10_000:
            self.fail(f"{value!r} is neither max nor a number above 0, 10000 at most", param, ctx)
        return speed


@click.command()
@click.argument("record")
@click.option(
    "--via", type=click.Choice(TRANSPORTS), default="direct", show_default=True, help="Transport of the samples."
)
@click.option("--speed", type=Speed(), default="max", show_default=True, help="Multiple of real time.")
@model_option()
@leads_option()
@broker_option()
@click.option("--publish", is_flag=True, help="Publish the alerts on the broker too.")
@json_option()
def replay(  # noqa: PLR0913  click passes each option as an argument
    *,
    record: str,
    via: Via,
    speed: float,
    model: str,
    leads: LeadChoice,
    broker: Address | None,
    publish: bool,
    json_path: Path | None,
) -> None:
    r"""Send RECORD through the real path and show the alerts.

    RECORD is a path, or a name such as mitdb/208, which is searched below ECG_DATA and then on PhysioNet; or
    synthetic:SCENARIO for the synthetic patient. Without --broker, `--via mqtt` and `--publish` start their own broker.

    \b
    Examples:
      ecg-edge replay mitdb/208
      ecg-edge replay mitdb/208 --via serial --speed 60
      ecg-edge replay synthetic:sinus:30,af:60,lead_off:20 --via mqtt --json result.json
    """
    recording = open_recording(record, *leads)
    bundle = find_bundle(model)
    console = report_console(json_path)
    if notice := lead_notice(recording):
        console.print(f"{record}: {notice}", highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        address = BrokerConfig()
        if broker is not None:
            address = BrokerConfig(host=broker.host, port=broker.port)
        elif via == "mqtt" or publish:
            from edge.mqtt.embedded_broker import embedded_broker

            host, port = stack.enter_context(embedded_broker())
            address = BrokerConfig(host=host, port=port)
        sink = None
        if publish:
            publisher = new_publisher(address, "replay", bundle)
            publisher.connect()
            stack.callback(publisher.close)
            sink = AlertSink(publisher)
        config = ReplayConfig(
            record=record,
            via=via,
            speed=speed,
            classifier=offline_classifier(),
            broker=address,
        )
        report = run_with_progress(recording, bundle, config, sink, console)
    show(report, console)
    if json_path is not None:
        write_json(report, json_path)


def run_with_progress(
    recording: Recording, bundle: Bundle, config: ReplayConfig, sink: Sink | None, console: Console
) -> Report:
    """Replay with a progress bar; Ctrl-C ends the replay early, and the report covers what was sent until then."""
    total_s = recording.samples / recording.spec.sample_rate_hz
    stopped = threading.Event()
    with ecg_progress(console) as show_progress, stop_on_signal(stopped.set):
        return replay_recording(
            recording,
            bundle,
            config,
            sink=sink,
            progress=lambda seconds: show_progress(config.record, seconds, total_s),
            stopped=stopped,
        )
