"""`ecg-train compare`: its options."""

import json
import time
from pathlib import Path

import click

from edge.commands.options import json_option
from training.commands.options import machine_options, take_machine

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("checkpoints", nargs=-1, required=True, type=_FOLDER)
@click.option("--data", type=_FOLDER, required=True, help="Folder that holds ptb-xl/.")
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
    r"""Judge networks side by side on fold 9 of PTB-XL and on patients of folds 1-8 that no training saw.

    The differences are from the first, with 95% intervals by paired bootstrap over records.

    \b
    Examples:
      ecg-train compare runs/first runs/resnet --data ~/.cache/ecg-nat/data
      ecg-train compare training/weights/taught runs/mine --data data --results docs/results/training.md
    """
    from edge.lab.results_page import how_made, write_section
    from training.evaluation.compare import compare as run
    from training.evaluation.compare import draw, render
    from training.study.report import TITLE

    names = [folder.resolve().name for folder in checkpoints]
    if len(set(names)) < len(names):
        raise click.UsageError("two checkpoints have the same folder name; give them different ones")
    take_machine(threads, device)
    began = time.monotonic()
    folders = [folder.resolve() for folder in checkpoints]
    result = run(folders, data, resamples, device)
    section = render(result, folders)
    click.echo(section)
    if json_path is not None:
        text = json.dumps(result, indent=1) + "\n"
        click.echo(text, nl=False) if str(json_path) == "-" else json_path.write_text(text, encoding="utf-8")
    if results is not None:
        picture = results.with_name("statements.png")
        draw(result, picture)
        parts = (section, f"![AUC of each statement]({picture.name})", how_made(time.monotonic() - began))
        write_section(results, TITLE, "networks", "\n\n".join(parts) + "\n")
