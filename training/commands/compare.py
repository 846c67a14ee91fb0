"""`ecg-train compare`."""

import time
from pathlib import Path

import click

from edge.commands.options import json_option
from training.commands.options import FOLDER, machine_options, take_machine, write_json


@click.command()
@click.argument("checkpoints", nargs=-1, required=True, type=FOLDER)
@click.option("--data", type=FOLDER, required=True, help="Folder that holds ptb-xl/.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Markdown file to write a section to; a picture goes beside it.",
)
@click.option("--resamples", type=click.IntRange(min=20), default=300, show_default=True, help="Of the bootstrap.")
@machine_options
@json_option()
def compare(
    *,
    checkpoints: tuple[Path, ...],
    data: Path,
    results: Path | None,
    resamples: int,
    threads: int,
    device: str,
    json_path: Path | None,
) -> None:
    r"""Score networks side by side on fold 9 of PTB-XL and on patients of folds 1-8 that no training saw.

    Differences are from the first network, with 95% intervals by paired bootstrap over records.

    \b
    Examples:
      ecg-train compare runs/first runs/resnet --data ~/.cache/ecg-nat/data
      ecg-train compare training/weights/taught runs/mine --data data --results docs/results/training.md
    """
    from edge.lab.results_page import how_made, write_section
    from training.evaluation.compare import compare as run
    from training.evaluation.compare import draw, render
    from training.study.report import TITLE

    folders = [folder.resolve() for folder in checkpoints]
    if len({folder.name for folder in folders}) < len(folders):
        raise click.UsageError("two checkpoints have the same folder name; give them different ones")
    take_machine(threads, device)
    began = time.monotonic()
    result = run(folders, data, resamples, device)
    section = render(result, folders)
    click.echo(section)
    write_json(result, json_path)
    if results is not None:
        picture = results.with_name("statements.png")
        draw(result, picture)
        parts = (section, f"![AUC of each statement]({picture.name})", how_made(time.monotonic() - began))
        write_section(results, TITLE, "networks", "\n\n".join(parts) + "\n")
