"""`ecg-train crossval`: its options."""

from pathlib import Path

import click

from edge.commands.options import json_option
from training.commands.options import machine_options, take_machine

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--data", type=_FOLDER, required=True, help="Folder that holds ptb-xl/, cinc2017/, mitdb/ and nstdb/.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the run.")
@click.option("--init", type=_FOLDER, required=True, help="Checkpoint of `finetune` that never saw MIT-BIH.")
@click.option(
    "--teacher",
    "teachers",
    type=_FOLDER,
    multiple=True,
    help="Checkpoint that never saw MIT-BIH and tells what is right on the other sets; repeatable: their mean.",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time of each network.")
@click.option("--steps", type=click.IntRange(min=1), help="Budget in steps instead; repeatable.")
@click.option("--whole", is_flag=True, help="Train one more network on every record: the one to ship.")
@click.option("--batch-size", type=click.IntRange(min=4), default=128, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=5e-4, show_default=True)
@click.option("--layer-decay", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True)
@click.option(
    "--blend",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.85,
    show_default=True,
    help="How far the weights that are kept go from those of --init to those that were learned.",
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
    r"""Train a network for each of five folds of MIT-BIH's DS1, and let each judge the patients that it never saw.

    The folds are fixed (training/data/folds.py). Run it again with the same options to take up a run that was stopped.

    \b
    Examples:
      ecg-train finetune --data ~/.cache/ecg-nat/data --set ptb-xl --set cinc2017 --out runs/base --minutes 60
      ecg-train crossval --data ~/.cache/ecg-nat/data --init runs/base --out runs/folds --minutes 5 --whole \
          --teacher runs/base
    """
    import json

    from training.supervised.crossval import SHARES, Task
    from training.supervised.crossval import crossval as run
    from training.supervised.trainer import TrainConfig

    if (minutes is None) == (steps is None):
        raise click.UsageError("give either --minutes or --steps")
    take_machine(threads, device)
    config = TrainConfig(
        minutes=minutes,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        layer_decay=layer_decay,
        ema_decay=0.99,  # of a short run
        blend=blend,
        seed=seed,
        device=device,
    )
    others = {name: part for name, part in SHARES.items() if name != "mitdb"}
    shares = {name: part * (1 - share) / sum(others.values()) for name, part in others.items()} | {"mitdb": share}
    report = run(Task(data, out, init, config, teachers, whole, shares), lambda line: click.echo(line, err=True))
    if json_path is not None:
        text = json.dumps(report, indent=1) + "\n"
        click.echo(text, nl=False) if str(json_path) == "-" else json_path.write_text(text, encoding="utf-8")
    click.echo(f"{out}: {len(report['folds'])} folds")
