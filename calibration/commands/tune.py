"""`ecg-calibrate tune`: its options, and what it writes."""

from pathlib import Path

import click

from edge.commands.options import json_option

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--crossval", "folds", type=_FOLDER, required=True, help="Folder that `ecg-train crossval` wrote.")
@click.option("--model", type=_FOLDER, required=True, help="The bundle whose alarms are set.")
@click.option("--data", type=_FOLDER, required=True, help="Folder that holds mitdb/.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the results.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="False alarms an hour, over all labels, on all records and on those in sinus rhythm throughout.",
)
@json_option()
def tune(*, folds: Path, model: Path, data: Path, out: Path, budget: float, json_path: Path | None) -> None:
    r"""Set the alarms of a bundle by what they would have done on patients that the network had not seen.

    Every threshold, hysteresis, delay and pooling length of every label that MIT-BIH annotates is scored on the
    out-of-fold outputs by the rules of `ecg-edge score`; the best combination within the budget goes into the manifest.
    OUT gets bundle/, folds/ (for `ecg-edge score --model OUT/folds`), curves.png and tune.json.

    \b
    Example:
      ecg-calibrate tune --crossval runs/folds --model bundles/mine --data ~/.cache/ecg-nat/data --out runs/tuned
    """
    import json

    from rich.console import Console
    from rich.progress import Progress

    from calibration.operating_points import curves
    from calibration.operating_points import tuned_bundles as tuned
    from calibration.operating_points.tuning import read_run
    from calibration.operating_points.tuning import tune as run
    from edge.bundle.manifest import load_bundle

    bundle = load_bundle(model)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        records = read_run(folds, data / "mitdb", bundle.manifest)
        result = run(
            bundle.manifest,
            records,
            budget,
            lambda label, done, total: bar.update(task, description=label, completed=done, total=total),
        )
        bar.update(task, description="writing", total=None)
        out.mkdir(parents=True, exist_ok=True)
        table = curves.table(result)
        tuned.write_bundle(bundle, result, table, out / "bundle")
        tuned.write_folds(bundle, records, result, out / "folds")
        curves.draw_png(result, out / "curves.png")
    summary = curves.summary(result, records)
    text = json.dumps(summary, indent=1) + "\n"
    (out / "tune.json").write_text(text, encoding="utf-8")
    if str(json_path) == "-":
        click.echo(text, nl=False)
        return
    if json_path is not None:
        json_path.write_text(text, encoding="utf-8")
    click.echo(table)
    rates = ", ".join(f"{name.replace('_', ' ')} {rate:.2f}" for name, rate in summary["false_alarms_per_hour"].items())
    click.echo(f"\nfalse alarms an hour, all labels, {summary['hours']:.1f} h: {rates}")
