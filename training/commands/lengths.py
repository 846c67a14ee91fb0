"""`ecg-train lengths`: its options."""

import json
import time
from pathlib import Path

import click

from edge.commands.options import json_option

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("checkpoint", type=_FOLDER)
@click.option("--data", type=_FOLDER, required=True, help="Folder that holds ptb-xl/.")
@click.option(
    "--window",
    "windows_s",
    type=click.FloatRange(1.0, 10.0),
    multiple=True,
    default=(2.56, 5.12, 10.0),
    show_default=True,
    help="Seconds; repeatable.",
)
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file to write a section to.")
@json_option()
def lengths(
    *, checkpoint: Path, data: Path, windows_s: tuple[float, ...], results: Path | None, json_path: Path | None
) -> None:
    r"""Judge one network on windows of several lengths: accuracy, cost, and how soon it notices a rhythm that begins.

    \b
    Examples:
      ecg-train lengths training/weights/taught --data ~/.cache/ecg-nat/data
      ecg-train lengths runs/mine --data ~/.cache/ecg-nat/data --window 2.56 --window 5.12 --results training/RESULTS.md
    """
    from edge.lab.results_page import how_made, write_section
    from training.commands.options import take_machine
    from training.evaluation.lengths import lengths as run
    from training.evaluation.lengths import render
    from training.study.report import TITLE

    take_machine(1, "cpu")
    began = time.monotonic()
    result = run(checkpoint.resolve(), data, windows_s)
    section = render(result)
    click.echo(section)
    if json_path is not None:
        text = json.dumps(result, indent=1) + "\n"
        click.echo(text, nl=False) if str(json_path) == "-" else json_path.write_text(text, encoding="utf-8")
    if results is not None:
        write_section(results, TITLE, "lengths", f"{section}\n\n{how_made(time.monotonic() - began)}\n")
