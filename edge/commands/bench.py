"""`ecg-edge bench`: how many streams one core can handle, how fast alerts are, and what overload and time do."""

import threading
from pathlib import Path

import click
from rich.console import Console

from edge.bundle.manifest import Bundle
from edge.bundle.shipped import find_bundle
from edge.commands.options import json_option, model_option, report_console
from edge.commands.progress import ecg_progress
from edge.commands.stopping import stop_on_signal
from edge.core.errors import BenchError
from edge.core.output import write_json
from edge.lab.bench.overload import run_overload
from edge.lab.bench.process import cores, pinned
from edge.lab.bench.report import BenchReport, show, show_soak
from edge.lab.bench.search import kept_up, search_capacity
from edge.lab.bench.soak import Soak, run_soak
from edge.lab.bench.trial import BenchSetup, run_trial
from edge.mqtt.client import BrokerConfig
from edge.mqtt.embedded_broker import local_broker


@click.command()
@model_option()
@click.option("--precision", help="Which graph of the bundle runs; default: int8 if the bundle has it, else fp32.")
@click.option(
    "--streams", type=click.IntRange(1, 4096), default=50, show_default=True, help="Streams of the first trial."
)
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=15.0, show_default=True, help="Length of each trial."
)
@click.option("--search/--no-search", default=True, show_default=True, help="Search for the largest number of streams.")
@click.option("--overload", is_flag=True, help="Then run twice as many streams, and report what is shed.")
@click.option(
    "--soak", type=click.FloatRange(0.01, 1000), metavar="HOURS", help="Instead: this much ECG of each stream."
)
@click.option("--speed", type=click.FloatRange(1, 1000), default=20.0, show_default=True, help="Speed of the soak.")
@click.option("--leads", type=click.IntRange(1, 2), default=1, show_default=True, help="Leads of each stream.")
@click.option("--block-s", type=click.FloatRange(0.05, 2), default=1.0, show_default=True, help="Seconds in a payload.")
@json_option()
def bench(  # noqa: PLR0913  click passes each option as an argument
    *,
    model: str,
    precision: str | None,
    streams: int,
    seconds: float,
    search: bool,
    overload: bool,
    soak: float | None,
    speed: float,
    leads: int,
    block_s: float,
    json_path: Path | None,
) -> None:
    r"""Measure the service under the load of many patients, in real time and through a real broker.

    The service is a separate process, pinned to one core. The broker (Mosquitto if installed, else the embedded one)
    and the load run on the other cores. The service keeps up with a number of streams when nothing is shed or lost and
    99 of 100 windows are decided within a hop. With --no-search, --overload doubles --streams.

    \b
    Examples:
      ecg-edge bench --json bench.json
      ecg-edge bench --no-search --streams 50 --seconds 60
      ecg-edge bench --overload --leads 2 --block-s 0.2
      ecg-edge bench --soak 24 --streams 8 --speed 40 --json soak.json
    """
    bundle = find_bundle(model)
    precision = precision or _default_precision(bundle)
    bundle.graph(precision)
    core, others = cores()
    stopped = threading.Event()
    console = report_console(json_path)
    report: BenchReport | Soak
    free = others | {core} if soak is not None else others  # a soak does not measure one core, so it may use all
    with pinned(free), local_broker() as broker, ecg_progress(console) as progress, stop_on_signal(stopped.set):
        setup = BenchSetup(
            bundle=bundle,
            broker=BrokerConfig(host=broker.host, port=broker.port),
            core=core,
            precision=precision,
            leads=("II", "V1")[:leads],
            block_s=block_s,
            speed=1.0 if soak is None else speed,
        )
        if soak is not None:
            report = run_soak(setup, streams, soak, free, progress, stopped)
        else:
            trials = [run_trial(setup, streams, seconds, progress, stopped)]
            if search:
                trials = search_capacity(lambda number: run_trial(setup, number, seconds, progress, stopped), trials[0])
            capacity = (kept_up(trials) or 1) if search else streams
            overloaded = run_overload(setup, capacity, 2 * seconds, progress, stopped) if overload else None
            report = BenchReport.of(setup, trials, overloaded, broker=broker.name, others=others, searched=search)
    if json_path is not None:
        write_json(report, json_path)
    _show(report, console)


def _default_precision(bundle: Bundle) -> str:
    return "int8" if "int8" in bundle.manifest.graphs else "fp32"


def _show(report: BenchReport | Soak, console: Console) -> None:
    """Print the report; BenchError when a soak was not flat."""
    if isinstance(report, BenchReport):
        show(report, console)
        return
    show_soak(report, console)
    if report.troubles:
        raise BenchError("the soak was not flat")
