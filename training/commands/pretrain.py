"""`ecg-train pretrain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from training.commands.options import FOLDER, NEW_FOLDER, check_budget, machine_options, take_machine
from training.data.sets import DEFAULT_SETS, SET_NAMES

if TYPE_CHECKING:
    from ecgnat.model import Size


@click.command()
@click.option("--data", type=FOLDER, help="Folder that holds ptb-xl/, cinc2017/ and mitdb/.")
@click.option(
    "--set", "sets", multiple=True, type=click.Choice(SET_NAMES), help="Set below --data; default: the first 3."
)
@click.option("--folder", "folders", multiple=True, type=FOLDER, help="Any folder of WFDB records; repeatable.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Checkpoint folder.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time, without saving.")
@click.option("--steps", type=click.IntRange(min=1), help="Budget in steps instead: reproducible.")
@click.option("--model", type=click.Choice(["tiny", "small", "base"]), default="small", show_default=True)
@click.option("--init", type=FOLDER, help="Pretraining run of the same --model whose encoder to start with.")
@click.option("--mask", type=click.Choice(["blocks", "leads"]), default="blocks", show_default=True)
@click.option("--mask-ratio", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5, show_default=True)
@click.option("--mask-block", type=click.IntRange(min=1), default=2, show_default=True, help="Patches of 0.16 s.")
@click.option("--batch-size", type=click.IntRange(min=4), default=128, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=2e-3, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@machine_options
@click.option("--save-every", type=click.FloatRange(min=0), default=120.0, show_default=True, help="Seconds.")
@click.option("--resume", is_flag=True, help="Continue the run in --out, with the same options.")
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
    r"""Pretrain the encoder without labels: it learns to reconstruct hidden parts of the signal.

    Patients of --set who validate, judge or test are left out. Also runs under torchrun.

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
    from training.loop.config import LoopConfig
    from training.masked.pretrain import open_sets
    from training.masked.pretrain import pretrain as run

    check_budget(minutes, steps)
    if data is None and (sets or not folders):
        raise click.UsageError("give --data for the known sets, or --folder, or both")
    take_machine(threads, device, many=True, minutes=minutes)
    network = named_config(cast("Size", model), 1)
    config = LoopConfig(
        minutes=minutes,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        save_every_s=save_every,
        device=device,
    )
    masking = MaskConfig(style=cast("Literal['blocks', 'leads']", mask), ratio=mask_ratio, block=mask_block)
    opened = open_sets(data, sets or DEFAULT_SETS, folders, device, Console(quiet=ranks.rank() != 0))
    run(opened, out, config, network, masking, init=init, resume=resume)
