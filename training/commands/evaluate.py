"""`ecg-train evaluate`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edge.commands.options import json_option
from training.commands.options import FOLDER, progress_bar, write_json


@click.command()
@click.argument("dataset", type=click.Choice(["ptb-xl", "cinc2017", "cpsc2018", "mitdb"]))
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="Folder of the data set, or the folder that holds it under its name.",
)
@click.option("--model", required=True, help="A shipped bundle by name, or the folder of any bundle.")
@click.option("--folds", metavar="9,10", help="ptb-xl: the folds to score; default: all.")
@click.option(
    "--part", type=click.Choice(["train", "validation", "judge"]), help="Other sets: the part to score; default: all."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@json_option()
def evaluate(
    *,
    dataset: str,
    data: Path,
    model: str,
    folds: str | None,
    part: str | None,
    threads: int,
    json_path: Path | None,
) -> None:
    r"""Score a bundle on the records in a folder, with the device's own preprocessing.

    \b
    Examples:
      ecg-train evaluate ptb-xl --data data --model rhythm --folds 9 --json ptb.json
      ecg-train evaluate cinc2017 --data data/cinc2017 --model rhythm --part judge
    """
    from edge.bundle.shipped import find_bundle

    chosen = _folds(folds)
    if chosen is not None and dataset != "ptb-xl":
        raise click.UsageError("--folds belongs to ptb-xl")
    if part is not None and dataset == "ptb-xl":
        raise click.UsageError("--part is not for ptb-xl; use --folds")
    bundle = find_bundle(model)
    if (data / dataset).is_dir():
        data = data / dataset
    with progress_bar() as progress:
        # Each set has its own protocol. Only the one that is needed is imported.
        match dataset:
            case "ptb-xl":
                from training.evaluation import ptb_xl

                result = ptb_xl.evaluate(bundle, data, chosen, threads, progress)
            case "cinc2017":
                from training.evaluation import cinc2017

                result = cinc2017.evaluate(bundle, data, part, threads, progress)
            case "cpsc2018":
                from training.evaluation import cpsc2018

                result = cpsc2018.evaluate(bundle, data, part, threads, progress)
            case _:
                from training.evaluation import mitdb

                result = mitdb.evaluate(bundle, data, part, threads, progress)
    manifest = bundle.manifest
    result["bundle"] = {"name": manifest.name, "version": manifest.version, "sha256": bundle.sha256}
    _write(result, json_path)


def _folds(text: str | None) -> set[int] | None:
    if text is None:
        return None
    try:
        return {int(word) for word in text.split(",")}
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list such as 9 or 1,2,3", param_hint="--folds") from None


def _write(result: dict[str, Any], json_path: Path | None) -> None:
    write_json(result, json_path)
    if str(json_path) == "-":
        return
    for line in _lines(result):
        click.echo(line)


def _lines(result: dict[str, Any]) -> Iterator[str]:
    yield result["protocol"]
    for name, value in (result.get("macro_auc") or result.get("f1") or {}).items():
        interval = result["ci95"].get(name)
        classes = f"  over {result['classes'][name]} classes" if "classes" in result else ""
        yield f"{name:16s} {value:.4f}" + (f"  [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "") + classes
    for name, figures in result.get("labels", {}).items():
        yield f"{name:10s} " + "  ".join(
            f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}" for key, value in figures.items()
        )
