"""`ecg-calibrate tune`."""

from pathlib import Path

import click

from edge.commands.options import json_option
from training.commands.options import FOLDER, NEW_FOLDER, progress_bar, write_json


@click.command()
@click.option("--crossval", "folds", type=FOLDER, required=True, help="Folder that `ecg-train crossval` wrote.")
@click.option("--model", type=FOLDER, required=True, help="Bundle whose alarms to set.")
@click.option("--data", type=FOLDER, required=True, help="Folder that holds mitdb/.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the results.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="False alarms an hour, over all labels, on all records and on those in sinus rhythm throughout.",
)
@json_option()
def tune(*, folds: Path, model: Path, data: Path, out: Path, budget: float, json_path: Path | None) -> None:
    r"""Set the alarms of a bundle by their results on patients that the network had not seen.

    Every threshold, hysteresis, delay and pooling length of every label that MIT-BIH annotates is scored on the
    out-of-fold outputs by the rules of `ecg-edge score`. The best combination within the budget goes into the manifest.
    OUT gets bundle/, folds/ (for `ecg-edge score --model OUT/folds`), curves.png and tune.json.

    \b
    Example:
      ecg-calibrate tune --crossval runs/folds --model bundles/mine --data ~/.cache/ecg-nat/data --out runs/tuned
    """
    from calibration.operating_points import curves, tuned_bundles
    from calibration.operating_points.tuning import read_crossval
    from calibration.operating_points.tuning import tune as run
    from edge.bundle.manifest import load_bundle

    bundle = load_bundle(model)
    with progress_bar() as progress:
        records = read_crossval(folds, data / "mitdb", bundle.manifest)
        result = run(bundle.manifest, records, budget, progress)
    out.mkdir(parents=True, exist_ok=True)
    table = curves.table(result)
    tuned_bundles.write_bundle(bundle, result, table, out / "bundle")
    tuned_bundles.write_folds(bundle, records, result, out / "folds")
    curves.draw_png(result, out / "curves.png")
    summary = curves.summary(result, records)
    write_json(summary, out / "tune.json")
    write_json(summary, json_path)
    if str(json_path) == "-":
        return
    click.echo(table)
    rates = ", ".join(f"{name.replace('_', ' ')} {rate:.2f}" for name, rate in summary["false_alarms_per_hour"].items())
    click.echo(f"\nfalse alarms an hour, all labels, {summary['hours']:.1f} h: {rates}")
