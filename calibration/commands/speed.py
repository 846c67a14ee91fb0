"""`ecg-calibrate speed`: its options."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from edge.commands.options import json_option

if TYPE_CHECKING:
    from ecgnat.networks import NetworkName

_NETWORKS = ("tiny", "small", "base", "resnet")


@click.command()
@click.option("--network", "networks", multiple=True, type=click.Choice(_NETWORKS), help="Default: small, resnet.")
@click.option("--threads", multiple=True, type=click.IntRange(min=1), help="Of training; default: 1 and 2.")
@click.option("--batch-size", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True, help="Timed training steps.")
@click.option("--rounds", type=click.IntRange(min=5), default=200, show_default=True, help="Timed forward passes.")
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file to write a section to.")
@json_option()
def speed(
    *,
    networks: tuple[str, ...],
    threads: tuple[int, ...],
    batch_size: int,
    steps: int,
    rounds: int,
    results: Path | None,
    json_path: Path | None,
) -> None:
    r"""Time a training step, by back end and threads, and the forward pass, of ECG-NAT and the ResNet beside it.

    \b
    Examples:
      ecg-calibrate speed
      ecg-calibrate speed --network tiny --network small --threads 1 --json -
    """
    from calibration.compare.speed import Task, measure, render
    from edge.lab.results_page import how_made, write_section
    from training.study.report import TITLE

    chosen = cast("tuple[NetworkName, ...]", networks or ("small", "resnet"))
    task = Task(chosen, threads or (1, 2), batch_size, steps, rounds)
    began = time.monotonic()
    result = measure(task, lambda line: click.echo(line, err=True))
    section = render(result, task)
    if json_path is not None and str(json_path) == "-":
        click.echo(json.dumps(result, indent=1))
        return
    click.echo(section)
    if json_path is not None:
        json_path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if results is not None:
        write_section(results, TITLE, "speed", f"{section}\n\n{how_made(time.monotonic() - began)}\n")
