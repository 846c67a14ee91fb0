"""`ecg-edge score-noise`: scores the alarms on records with noise added."""

import os
import threading
import time
from pathlib import Path

import click

from edge.commands.options import json_option, model_option, offline_classifier, report_console, results_option
from edge.commands.progress import ecg_progress
from edge.commands.stopping import stop_on_signal
from edge.core.output import write_json
from edge.lab.results_page import how_made, write_section
from edge.lab.scoring.folds import find_bundle_or_folds
from edge.lab.scoring.markdown import TITLE
from edge.lab.scoring.noise_report import draw, render, show
from edge.lab.scoring.noise_stress import NOISES, RECORDS, SNR_DB, StressConfig, run_noise_stress


def _names(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise click.BadParameter("it is empty")
    return names


def _numbers(ctx: click.Context, param: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(name) for name in _names(ctx, param, text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 24,6,-6") from None


@click.command("score-noise")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@model_option()
@click.option("--noise-folder", type=click.Path(file_okay=False, path_type=Path), help="Default: nstdb beside FOLDER.")
@click.option("--noise", default=",".join(NOISES), show_default=True, callback=_names, help="Noise records.")
@click.option("--records", default=",".join(RECORDS), show_default=True, callback=_names, help="Records of FOLDER.")
@click.option(
    "--snr", default=",".join(f"{snr:g}" for snr in SNR_DB), show_default=True, callback=_numbers, help="SNRs in dB."
)
@click.option("--precision", default="fp32", show_default=True, help="Which graph of the bundle runs.")
@click.option(
    "--picture", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Draw the result there (PNG)."
)
@results_option("Noise stress")
@json_option()
def score_noise(  # noqa: PLR0913  click passes each option as an argument
    *,
    folder: Path,
    model: str,
    noise_folder: Path | None,
    noise: tuple[str, ...],
    records: tuple[str, ...],
    snr: tuple[float, ...],
    precision: str,
    picture: Path | None,
    results: Path | None,
    section: str,
    json_path: Path | None,
) -> None:
    r"""Score records of FOLDER with real noise added to them, as the `nst` program of WFDB adds it.

    From minute 5 on, two noisy minutes alternate with two clean ones. For each noise and SNR this reports how many
    false alarms are added to those of the clean record, for how much of the noisy time a technical alarm is on, how
    much of each lead is excluded there, and how accurate the rest is.

    \b
    Examples:
      ecg-edge score-noise ~/.cache/ecg-nat/data/mitdb --json noise.json --picture noise.png
      ecg-edge score-noise mitdb --noise ma --snr 6,0,-6 --results docs/results/alarms.md
    """
    config = StressConfig(
        folder=folder,
        noise_folder=noise_folder or folder.resolve().parent / "nstdb",
        records=records,
        noises=noise,
        snr_db=snr,
        classifier=offline_classifier(precision),
    )
    console = report_console(json_path)
    began, stopped = time.monotonic(), threading.Event()
    bundle = find_bundle_or_folds(model)
    with ecg_progress(console) as progress, stop_on_signal(stopped.set):
        result = run_noise_stress(bundle, config, progress=progress, stopped=stopped)
    show(result, console)
    if picture is not None:
        draw(result, picture)
    if results is not None:
        link = None if picture is None else os.path.relpath(picture, results.parent)
        write_section(results, TITLE, section, render(result, section, how_made(time.monotonic() - began), link))
    if json_path is not None:
        write_json(result, json_path)
