"""`ecg-train beats`."""

from pathlib import Path

import click

from edge.commands.options import json_option
from training.commands.options import FOLDER, NEW_FOLDER, progress_bar, take_machine, write_json


@click.command()
@click.option("--data", type=FOLDER, required=True, help="Folder that holds mitdb/, svdb/ and nstdb/.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the results and of the cache.")
@click.option("--seed", type=click.IntRange(min=0), default=100, show_default=True, help="Seed of the first network.")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=2, show_default=True, help="Networks whose outputs are averaged."
)
@click.option("--steps", type=click.IntRange(min=1), default=2000, show_default=True, help="Steps of each network.")
@click.option("--feature-steps", type=click.IntRange(min=1), default=1500, show_default=True, help="Steps before.")
@click.option("--folds", type=click.IntRange(min=2), help="Cross-validate by patient first, and print the F1 scores.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads.")
@json_option()
def beats(  # noqa: PLR0913 - one argument an option
    *,
    data: Path,
    out: Path,
    seed: int,
    seeds: int,
    steps: int,
    feature_steps: int,
    folds: int | None,
    threads: int,
    json_path: Path | None,
) -> None:
    r"""Train the network that classifies beats, on DS1 of mitdb and on svdb.

    The beats are described by the device's own code first, and cached in OUT/cache; that takes about an hour, once.
    Delete the cache when that code has changed. OUT gets beats.onnx and the weights of each network. `ecg-calibrate
    add-beats` puts the graph into a bundle.

    \b
    Example:
      ecg-train beats --data ~/.cache/ecg-nat/data --out runs/beats --folds 5
    """
    from training.beats.crossval import crossval
    from training.beats.dataset import BeatCache, load_beats
    from training.beats.export import GRAPH, write_networks
    from training.beats.recording import records_of
    from training.beats.trainer import TrainConfig, fit

    def report(line: str) -> None:
        click.echo(line, err=True)

    take_machine(threads, "cpu")  # the network is too small to gain from a GPU
    records, cache = records_of(data), BeatCache(out / "cache", data)
    with progress_bar() as progress:
        cache.build(records, progress)
    beat_set = load_beats(cache, records)
    report(f"{len(beat_set.label)} beats of {len(records)} records")
    configs = [TrainConfig(steps, feature_steps, seed + number) for number in range(seeds)]
    scores = crossval(cache, records, beat_set, configs, folds, report) if folds else []
    write_networks([fit(beat_set, config, report) for config in configs], out)
    write_json({"beats": len(beat_set.label), "scores": [score.to_json() for score in scores]}, json_path)
    if str(json_path) != "-":
        for score in scores:
            click.echo(score.line())
        click.echo(out / GRAPH)
