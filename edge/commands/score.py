"""`ecg-edge score`: scores the alarms on annotated records."""

import threading
import time
from pathlib import Path

import click

from edge.commands.options import (
    LeadChoice,
    json_option,
    leads_option,
    model_option,
    offline_classifier,
    report_console,
    results_option,
)
from edge.commands.progress import ecg_progress
from edge.commands.stopping import stop_on_signal
from edge.core.output import write_json
from edge.lab.results_page import how_made, write_section
from edge.lab.scoring.beats import LEARNING_S
from edge.lab.scoring.folder import ScoreConfig, score_folder
from edge.lab.scoring.folds import find_bundle_or_folds
from edge.lab.scoring.markdown import TITLE, render
from edge.lab.scoring.table import show


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@model_option()
@click.option("--records", metavar="R,R,...", help="Only these records; default: all annotated ones.")
@click.option(
    "--annotator", metavar="EXT", default="atr", show_default=True, help="Extension of the reference annotations."
)
@click.option(
    "--skip",
    type=click.FloatRange(min=0),
    default=LEARNING_S,
    show_default=True,
    help="Ignore this many seconds at the start of a record; the default is EC57's learning period.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the alarms of each record there as WFDB annotations (annotator: alarms).",
)
@click.option("--precision", default="fp32", show_default=True, help="Which graph of the bundle runs.")
@leads_option()
@results_option("MIT-BIH")
@json_option()
def score(  # noqa: PLR0913  click passes each option as an argument
    *,
    folder: Path,
    model: str,
    records: str | None,
    annotator: str,
    skip: float,
    out: Path | None,
    precision: str,
    leads: LeadChoice,
    results: Path | None,
    section: str,
    json_path: Path | None,
) -> None:
    r"""Score the alarms of a bundle on every annotated WFDB record in FOLDER.

    Each record goes through the real path at full speed, and its alarms are compared with the reference annotations:
    which episodes were found, how late, and how many false alarms per hour. Records that the bundle has seen in
    training are marked. When --model is the folder of a cross-validation (see `ecg-calibrate tune`), each record is
    scored with the bundle that has not seen its patient.

    \b
    Examples:
      ecg-edge score ~/.cache/ecg-nat/data/mitdb --json score.json
      ecg-edge score mitdb --records 201,203 --out alarms
      ecg-edge score mitdb --model runs/tuned/folds --results docs/results/alarms.md --section "DS1, out of fold"
    """
    only = tuple(name.strip() for name in records.split(",") if name.strip()) if records else ()
    if records is not None and not only:
        raise click.BadParameter("it names no record", param_hint="--records")
    config = ScoreConfig(
        folder=folder,
        annotator=annotator,
        only=only,
        start_s=skip,
        alarms_to=out,
        classifier=offline_classifier(precision),
        leads=leads.leads,
        first_leads=leads.first,
    )
    console = report_console(json_path)
    began, stopped = time.monotonic(), threading.Event()
    bundle = find_bundle_or_folds(model)
    with ecg_progress(console) as progress, stop_on_signal(stopped.set):  # after Ctrl-C: the records until then
        result = score_folder(bundle, config, progress=progress, stopped=stopped)
    show(result, console)
    if results is not None:
        write_section(results, TITLE, section, render(result, section, how_made(time.monotonic() - began)))
    if json_path is not None:
        write_json(result, json_path)
