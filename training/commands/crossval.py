"""`ecg-train crossval`."""

from pathlib import Path

import click

from edge.commands.options import json_option
from training.commands.options import FOLDER, NEW_FOLDER, check_budget, machine_options, take_machine, write_json


@click.command()
@click.option("--data", type=FOLDER, required=True, help="Folder that holds ptb-xl/, cinc2017/, mitdb/ and nstdb/.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the run.")
@click.option("--init", type=FOLDER, required=True, help="Checkpoint of `finetune` that never saw MIT-BIH.")
@click.option(
    "--teacher",
    "teachers",
    type=FOLDER,
    multiple=True,
    help="Checkpoint that never saw MIT-BIH; its outputs are targets on the other sets. Repeatable: their mean.",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time of each network.")
@click.option("--steps", type=click.IntRange(min=1), help="Budget in steps instead: reproducible.")
@click.option("--whole", is_flag=True, help="Train one more network on every record: the one to ship.")
@click.option("--batch-size", type=click.IntRange(min=4), default=128, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=5e-4, show_default=True)
@click.option("--layer-decay", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True)
@click.option(
    "--blend",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.85,
    show_default=True,
    help="Part of the trained weights in the weights to use; the rest are those of --init.",
)
@click.option("--mitdb", "share", type=click.FloatRange(0, 1), default=0.55, show_default=True, help="Part of a batch.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@machine_options
@json_option()
def crossval(  # noqa: PLR0913 - one argument an option
    *,
    data: Path,
    out: Path,
    init: Path,
    teachers: tuple[Path, ...],
    minutes: float | None,
    steps: int | None,
    whole: bool,
    batch_size: int,
    learning_rate: float,
    layer_decay: float,
    blend: float,
    share: float,
    seed: int,
    threads: int,
    device: str,
    json_path: Path | None,
) -> None:
    r"""Train a network for each of five folds of MIT-BIH's DS1, and write its outputs on the patients it never saw.

    The folds are fixed (training/data/folds.py). Run it again with the same options to continue an interrupted run.

    \b
    Examples:
      ecg-train finetune --data ~/.cache/ecg-nat/data --set ptb-xl --set cinc2017 --out runs/base --minutes 60
      ecg-train crossval --data ~/.cache/ecg-nat/data --init runs/base --out runs/folds --minutes 5 --whole \
          --teacher runs/base
    """
    from training.supervised.crossval import SHARES, CrossvalSetup
    from training.supervised.crossval import crossval as run
    from training.supervised.trainer import FinetuneConfig

    check_budget(minutes, steps)
    take_machine(threads, device)
    config = FinetuneConfig(
        minutes=minutes,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        layer_decay=layer_decay,
        ema_decay=0.99,  # the average of a short run
        blend=blend,
        seed=seed,
        device=device,
    )
    # The option sets the part of MIT-BIH; the other sets share the rest as before.
    others = {name: part for name, part in SHARES.items() if name != "mitdb"}
    shares = {name: part * (1 - share) / sum(others.values()) for name, part in others.items()} | {"mitdb": share}
    setup = CrossvalSetup(data, out, init, config, teachers, whole, shares)
    report = run(setup, lambda line: click.echo(line, err=True))
    write_json(report, json_path)
    click.echo(f"{out}: {len(report['folds'])} folds")
