"""`ecg-train pretrain`: its options."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from training.commands.options import machine_options, take_machine

if TYPE_CHECKING:
    from ecgnat.model import Size

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_USUAL = ("ptb-xl", "cinc2017", "mitdb")
_SETS = (*_USUAL, "cpsc2018", "cinc2020", "cinc2021")


@click.command()
@click.option("--data", type=_FOLDER, help="Folder that holds ptb-xl/, cinc2017/ and mitdb/.")
@click.option("--set", "sets", multiple=True, type=click.Choice(_SETS), help="Set below --data; default: the first 3.")
@click.option("--folder", "folders", multiple=True, type=_FOLDER, help="Any folder of WFDB records; repeatable.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Checkpoint folder.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time; saving comes on top.")
@click.option("--steps", type=click.IntRange(min=1), help="Budget in steps instead; repeatable.")
@click.option("--model", type=click.Choice(["tiny", "small", "base"]), default="small", show_default=True)
@click.option("--init", type=_FOLDER, help="Folder of a pretraining run; its encoder, of this --model, goes on.")
@click.option("--mask", type=click.Choice(["blocks", "leads"]), default="blocks", show_default=True)
@click.option("--mask-ratio", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5, show_default=True)
@click.option("--mask-block", type=click.IntRange(min=1), default=2, show_default=True, help="Patches of 0.16 s.")
@click.option("--batch-size", type=click.IntRange(min=4), default=128, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=2e-3, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@machine_options
@click.option("--save-every", type=click.FloatRange(min=0), default=120.0, show_default=True, help="Seconds.")
@click.option("--resume", is_flag=True, help="Take up the run that lies in --out, with the same options.")
def pretrain(  # noqa: PLR0913 - one argument an option
    *,
    data: Path | None,
    sets: tuple[str, ...],
    folders: tuple[Path, ...],
    out: Path,
    minutes: float | None,
    steps: int | None,
    model: str,
    init: Path | None,
    mask: str,
    mask_ratio: float,
    mask_block: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    threads: int,
    device: str,
    save_every: float,
    resume: bool,
) -> None:
    r"""Pretrain the encoder without labels, by drawing back what was hidden of the signal.

    The patients of --set who validate, judge or test are left out. Also runs under torchrun.

    \b
    Examples:
      ecg-train pretrain --data ~/.cache/ecg-nat/data --out runs/pretrained --minutes 60
      ecg-train pretrain --folder ~/my-holter-records --out runs/mine --steps 5000
      ecg-train pretrain --folder ~/my-holter-records --out runs/mine --steps 500 --init training/weights/pretrained
      ecg-train finetune --data ~/.cache/ecg-nat/data --init pretrained:runs/pretrained --out runs/tuned --minutes 30
    """
    from rich.console import Console

    from ecgnat import ranks
    from ecgnat.masked import MaskConfig
    from ecgnat.model import named_config
    from training.masked.pretrain import open_pools
    from training.masked.pretrain import pretrain as run
    from training.masked.pretraining import PretrainConfig

    if (minutes is None) == (steps is None):
        raise click.UsageError("give either --minutes or --steps")
    if data is None and (sets or not folders):
        raise click.UsageError("give --data for the known sets, or --folder, or both")
    take_machine(threads, device, many=True, minutes=minutes)
    network = named_config(cast("Size", model), 1)
    config = PretrainConfig(
        minutes=minutes,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        save_every_s=save_every,
        device=device,
    )
    masking = MaskConfig(style=cast("Literal['blocks', 'leads']", mask), ratio=mask_ratio, block=mask_block)
    pools = open_pools(data, sets or _USUAL, folders, Console(quiet=ranks.rank() != 0))
    run(pools, out, config, network, masking, init=init, resume=resume)
