"""`ecg-train finetune`: its options."""

from pathlib import Path

import click

_DATA = click.Path(exists=True, file_okay=False, path_type=Path)
_SETS = ("ptb-xl", "cinc2017", "mitdb")


@click.command()
@click.option("--data", type=_DATA, required=True, help="Folder that holds ptb-xl/, cinc2017/, mitdb/ and nstdb/.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Checkpoint folder.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time; validation comes on top.")
@click.option("--steps", type=click.IntRange(min=1), help="Budget in steps instead; repeatable.")
@click.option("--model", type=click.Choice(["tiny", "small"]), default="small", show_default=True)
@click.option("--set", "sets", multiple=True, type=click.Choice(_SETS), help="Data set to train on; default: all.")
@click.option("--batch-size", type=click.IntRange(min=4), default=128, show_default=True)
@click.option(
    "--window-share",
    type=click.FloatRange(0, 1),
    default=0.35,
    show_default=True,
    help="Last part of the budget, on whole windows instead of crops.",
)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=2e-3, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--resume", is_flag=True, help="Take up the run that lies in --out, with the same options.")
def finetune(  # noqa: PLR0913 - one argument an option
    *,
    data: Path,
    out: Path,
    minutes: float | None,
    steps: int | None,
    model: str,
    sets: tuple[str, ...],
    batch_size: int,
    window_share: float,
    learning_rate: float,
    seed: int,
    threads: int,
    resume: bool,
) -> None:
    r"""Train on labelled records, from random weights.

    \b
    Example:
      ecg-train finetune --data ~/.cache/ecg-nat/data --out runs/first --minutes 60
    """
    import torch

    from training.finetune import finetune as run
    from training.trainer import TrainConfig

    if (minutes is None) == (steps is None):
        raise click.UsageError("give either --minutes or --steps")
    torch.set_num_threads(threads)
    config = TrainConfig(
        minutes=minutes,
        steps=steps,
        batch_size=batch_size,
        window_batch_size=batch_size // 2,
        window_share=window_share,
        learning_rate=learning_rate,
        seed=seed,
    )
    run(data, out, config, "tiny" if model == "tiny" else "small", sets or _SETS, resume=resume)
