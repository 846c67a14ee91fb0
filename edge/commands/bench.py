"""`ecg-edge bench`: how many streams one core takes, how soon their alerts are out, and what overload and time do."""

import threading
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge.bundle.manifest import Bundle
from edge.bundle.shipped import find_bundle
from edge.commands.options import json_option, model_option
from edge.commands.stopping import stop_on_signal
from edge.core.errors import BenchError
from edge.core.output import write_json
from edge.lab.bench.overload import run_overload
from edge.lab.bench.process import cores, pinned
from edge.lab.bench.report import BenchReport, show, show_soak
from edge.lab.bench.search import kept_up, search_capacity
from edge.lab.bench.soak import Soak, run_soak
from edge.lab.bench.trial import BenchSetup, run_trial
from edge.lab.bench.trial import Progress as Tell
from edge.mqtt.client import BrokerConfig
from edge.mqtt.embedded_broker import local_broker


@click.command()
@model_option()
@click.option("--precision", help="Which graph of the bundle; its int8 graph where it has one, else fp32.")
@click.option("--streams", type=click.IntRange(1, 4096), default=50, show_default=True, help="Of the first trial.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=15.0, show_default=True, help="Of each trial.")
@click.option("--search/--no-search", default=True, show_default=True, help="Look for the most streams.")
@click.option("--overload", is_flag=True, help="Then twice as many, to see what is shed, told, and over by itself.")
@click.option("--soak", type=click.FloatRange(0.01, 1000), metavar="HOURS", help="Instead: so much ECG of each stream.")
@click.option("--speed", type=click.FloatRange(1, 1000), default=20.0, show_default=True, help="Of the soak.")
@click.option("--leads", type=click.IntRange(1, 2), default=1, show_default=True, help="Of each stream.")
@click.option("--block-s", type=click.FloatRange(0.05, 2), default=1.0, show_default=True, help="ECG in a payload.")
@json_option()
def bench(  # noqa: PLR0913, PLR0917  click passes each option by its name
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

    The service is a process of its own, pinned to one core; broker (Mosquitto where installed, else the embedded one)
    and load are on the others. A number of streams is kept up with when nothing is shed or lost and 99 of 100 windows
    are decided within a hop. Where it is not looked for, --overload doubles --streams.

    \b
    Examples:
      ecg-edge bench --json bench.json
      ecg-edge bench --no-search --streams 50 --seconds 60
      ecg-edge bench --overload --leads 2 --block-s 0.2
      ecg-edge bench --soak 24 --streams 8 --speed 40 --json soak.json
    """
    bundle = find_bundle(model)
    precision = precision or _best(bundle)
    bundle.graph(precision)
    core, others = cores()
    stopped = threading.Event()
    console = Console(stderr=json_path is not None and str(json_path) == "-")
    report: BenchReport | Soak
    free = others | {core} if soak is not None else others  # a soak need not say what one core takes
    with pinned(free), local_broker() as broker, _progress(console) as bar, stop_on_signal(stopped.set):
        setup = BenchSetup(
            bundle=bundle,
            broker=BrokerConfig(host=broker.host, port=broker.port),
            core=core,
            precision=precision,
            leads=("II", "V1")[:leads],
            block_s=block_s,
            speed=1.0 if soak is None else speed,
        )
        tell = _teller(bar)
        if soak is not None:
            report = run_soak(setup, streams, soak, free, tell, stopped)
        else:
            trials = [run_trial(setup, streams, seconds, tell, stopped)]
            if search:
                trials = search_capacity(lambda number: run_trial(setup, number, seconds, tell, stopped), trials[0])
            capacity = (kept_up(trials) or 1) if search else streams
            found = run_overload(setup, capacity, 2 * seconds, tell, stopped) if overload else None
            report = BenchReport.of(setup, trials, found, broker=broker.name, others=others, searched=search)
    if json_path is not None:
        write_json(report, json_path)
    if isinstance(report, Soak):
        show_soak(report, console)
        if report.troubles:
            raise BenchError("the soak was not flat")
    else:
        show(report, console)


def _best(bundle: Bundle) -> str:
    return "int8" if "int8" in bundle.manifest.graphs else "fp32"


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True)


def _teller(bar: Progress) -> Tell:
    task = bar.add_task("", total=1)

    def tell(what: str, done_s: float, total_s: float) -> None:
        bar.update(task, description=what, completed=done_s, total=total_s)

    return tell
