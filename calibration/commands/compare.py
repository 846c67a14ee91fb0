"""`ecg-calibrate compare`; its exit code is the gate."""

from pathlib import Path
from typing import Any

import click

from edge.commands.options import json_option
from training.commands.options import FOLDER, progress_bar, write_json


@click.command()
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Folder of a bundle.")
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="Folder that holds ptb-xl/, cinc2017/ and mitdb/.",
)
@click.option(
    "--results", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file to write the tables to."
)
@click.option("--pictures", type=click.Path(file_okay=False, path_type=Path), help="Folder to write the pictures to.")
@click.option("--card/--no-card", help="Put the table on the bundle's MODEL_CARD.md too; this changes its hash.")
@click.option(
    "--checkpoint",
    type=FOLDER,
    help="Checkpoint that the bundle was made from, to time torch as well.",
)
@click.option("--rounds", type=click.IntRange(min=5), default=300, show_default=True, help="Timed runs at batch 1.")
@click.option("--resamples", type=click.IntRange(min=20), default=500, show_default=True, help="Of the bootstrap.")
@json_option()
def compare(  # noqa: PLR0913 - one argument an option
    *,
    model: Path,
    data: Path,
    results: Path | None,
    pictures: Path | None,
    card: bool,
    checkpoint: Path | None,
    rounds: int,
    resamples: int,
    json_path: Path | None,
) -> None:
    r"""Compare every precision of a bundle with FP32 on held-out ECG; exit with 1 when one loses too much.

    \b
    Examples:
      ecg-calibrate compare --model edge/bundles/rhythm --data ~/.cache/ecg-nat/data --json compare.json
      ecg-calibrate compare --model mine --data data --results docs/results/precisions.md --pictures docs/results
    """
    from calibration.compare.comparison import compare_bundle
    from calibration.errors import CalibrationError
    from edge.bundle.manifest import load_bundle

    bundle = load_bundle(model)
    with progress_bar() as progress:
        result = compare_bundle(bundle, data, checkpoint, rounds, resamples, progress)
    _write(result, model, json_path, results, pictures)
    if card:
        write_card(result, model)
    if result["refusals"]:
        more = f" (and {len(result['refusals']) - 1} more)" if len(result["refusals"]) > 1 else ""
        raise CalibrationError(f"{model}: refused: {result['refusals'][0]}{more}")


def _write(
    result: dict[str, Any], model: Path, json_path: Path | None, results: Path | None, pictures: Path | None
) -> None:
    from calibration.compare import results as tables
    from calibration.compare.pictures import draw_activations, draw_labels
    from calibration.quantization.quantizer import read_quantization

    quantization = read_quantization(model)
    section = tables.render(result, quantization.get("wider", []))
    write_json(result, json_path)
    if str(json_path) != "-":
        click.echo(section)
    if results is not None:
        tables.write_section(results, result["bundle"]["name"], section)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        draw_labels(result["precisions"], pictures / f"{result['bundle']['name']}-labels.png")
        if quantization:
            draw_activations(quantization, pictures / f"{result['bundle']['name']}-activations.png")


def write_card(result: dict[str, Any], model: Path) -> None:
    """Write the table of all precisions into a bundle's card, and the card's new hash into the manifest."""
    from calibration.bundle.manifest import write_manifest
    from calibration.compare.results import put_on_card
    from edge.bundle.manifest import load_bundle

    path = model / "MODEL_CARD.md"
    manifest = load_bundle(model).manifest
    path.write_text(put_on_card(path.read_text(encoding="utf-8") if path.is_file() else "", result), encoding="utf-8")
    write_manifest(model, manifest)
