"""`ecg-train study`."""

import time
from fnmatch import fnmatchcase
from pathlib import Path

import click

from edge.commands.options import json_option
from training.commands.options import FOLDER, NEW_FOLDER, machine_options, take_machine, write_json

_STUDIES = ("few-labels", "ablations")
_ARM = "Only arms whose names (group and seed) match, such as 'whole-random-*'; repeatable."
_ENCODER = "Folder of a pretraining run of the same shape, instead of the study's own pretraining."
_RESULTS = "Markdown file to write a section to; a picture goes beside it."


@click.command()
@click.argument("name", type=click.Choice(_STUDIES))
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="Folder that holds ptb-xl/, cinc2017/, mitdb/ and nstdb/.",
)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the study.")
@click.option("--arm", "wanted", multiple=True, help=_ARM)
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), help=_RESULTS)
@click.option("--encoder", type=FOLDER, help=_ENCODER)
@machine_options
@json_option()
def study(  # noqa: PLR0913 - one argument an option
    *,
    name: str,
    data: Path,
    out: Path,
    wanted: tuple[str, ...],
    results: Path | None,
    encoder: Path | None,
    threads: int,
    device: str,
    json_path: Path | None,
) -> None:
    r"""Train the arms of a study on PTB-XL, score them on fold 9, and print the table.

    few-labels compares pretrained with random weights at 1% and 10% of the labels. ablations changes one thing of
    `tiny` or its pretraining at a time. A study takes minutes on a GPU and a day on two cores. Run it again with the
    same --out to continue an interrupted study.

    \b
    Examples:
      ecg-train study few-labels --data ~/.cache/ecg-nat/data --out runs/few --results docs/results/training.md
      ecg-train study few-labels --data ~/.cache/ecg-nat/data --out runs/few --encoder training/weights/pretrained
      ecg-train study ablations --data ~/.cache/ecg-nat/data --out runs/ablations --arm 'usual-*' --arm 'contrast-*'
    """
    from edge.lab.results_page import how_made, write_section
    from training.study.arms import STUDIES
    from training.study.report import PROTOCOL, TITLE, label_efficiency, machines, table
    from training.study.runner import run

    take_machine(threads, device)
    began = time.monotonic()
    arms = [arm for arm in STUDIES[name]() if not wanted or any(fnmatchcase(arm.name, pattern) for pattern in wanted)]
    if not arms:
        raise click.UsageError(f"no arm of {name} matches {', '.join(wanted)}")
    recipes = {arm.pretraining.name for arm in arms if arm.pretraining}
    if encoder is not None and not recipes:
        raise click.UsageError(f"no arm of {name} starts from an --encoder")
    if encoder is not None and len(recipes) > 1:
        raise click.UsageError(f"one --encoder cannot stand for {', '.join(sorted(recipes))}; choose with --arm")
    rows = run(arms, data, out, device, lambda line: click.echo(line, err=True), encoder)
    write_json(rows, json_path)
    click.echo(table(rows))
    if results is None:
        return
    parts = [f"## {name}", PROTOCOL, table(rows), machines(rows)]
    if name == "few-labels":
        picture = results.with_name("label_efficiency.png")
        label_efficiency(rows, picture)
        parts.append(f"![label efficiency]({picture.name})")
    write_section(results, TITLE, name, "\n\n".join([*parts, how_made(time.monotonic() - began)]) + "\n")
