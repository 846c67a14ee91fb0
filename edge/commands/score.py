"""`ecg-edge score`: its options, and the table for people."""

import threading
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge.bundle import Bundle
from edge.commands.options import json_option, model_option
from edge.commands.stopping import stop_on_signal
from edge.config import find_bundle
from edge.report import clock, write_json
from edge.scoring.beats import LEARNING_S
from edge.scoring.folder import FolderScore, ScoreConfig, score_folder
from edge.scoring.table import show


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@model_option()
@click.option("--records", metavar="R,R,...", help="Only these records; default: all that are annotated.")
@click.option("--annotator", metavar="EXT", default="atr", show_default=True, help="Extension of the reference.")
@click.option(
    "--skip",
    type=click.FloatRange(min=0),
    default=LEARNING_S,
    show_default=True,
    help="Seconds at the start of a record that do not count; the default is EC57's learning period.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the alarms of each record there, as WFDB annotations (annotator: alarms).",
)
@json_option()
def score(
    *,
    folder: Path,
    model: str,
    records: str | None,
    annotator: str,
    skip: float,
    out: Path | None,
    json_path: Path | None,
) -> None:
    r"""Score the alarms of a bundle on every annotated WFDB record in FOLDER.

    Each record goes through the real path at full speed, and its alarms are compared with the reference annotation:
    which episodes were found, how late, and how many false alarms an hour. Figures of records that the bundle has seen
    in training are marked.

    \b
    Examples:
      ecg-edge score ~/.cache/ecg-nat/data/mitdb --json score.json
      ecg-edge score mitdb --records 201,203 --out alarms
    """
    only = tuple(name.strip() for name in records.split(",") if name.strip()) if records else ()
    if records is not None and not only:
        raise click.BadParameter("names no record", param_hint="--records")
    config = ScoreConfig(
        folder=folder,
        annotator=annotator,
        only=only,
        start_s=skip,
        alarms_to=out,
    )
    console = Console(stderr=json_path is not None and str(json_path) == "-")
    result = _score_with_progress(find_bundle(model), config, console)
    show(result, console)
    if json_path is not None:
        write_json(result, json_path)


def _score_with_progress(bundle: Bundle, config: ScoreConfig, console: Console) -> FolderScore:
    """Score with a progress bar; Ctrl-C ends it early, and the records that were done are reported."""
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[at]}"), TimeElapsedColumn()
    stopped = threading.Event()
    with Progress(*columns, console=console, transient=True) as bar, stop_on_signal(stopped.set):
        task = bar.add_task("", total=None, at="")

        def progress(record: str, done_s: float, total_s: float) -> None:
            bar.update(
                task, description=record, completed=done_s, total=total_s, at=f"{clock(done_s)} / {clock(total_s)}"
            )

        return score_folder(bundle, config, progress=progress, stopped=stopped)
