"""`ecg-train finetune`."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from training.commands.options import FOLDER, NEW_FOLDER, check_budget, machine_options, take_machine
from training.data.sets import DEFAULT_SETS, SET_NAMES

if TYPE_CHECKING:
    from ecgnat.networks import NetworkName

_LABELS = {"1%": 0.01, "10%": 0.1, "100%": 1.0}
_PROBE = "First part of the budget, which trains the head alone; 1 is a linear probe."
_DECAY = "Learning rate of each layer, relative to the next one."
_FOLDER = "WFDB records with '#Dx: SNOMED CT codes' in their headers; repeatable. Without --data only these train."
_MODEL = "Network to start with random weights."
_TEACHER = "Folder of a finetune run whose outputs are targets too; repeatable: their mean."
_CONTRAST = "Weight of the supervised contrastive loss, such as 0.25."


@click.command()
@click.option("--data", type=FOLDER, help="Folder that holds ptb-xl/, cinc2017/, mitdb/ and nstdb/.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Checkpoint folder.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time, without validation.")
@click.option("--steps", type=click.IntRange(min=1), help="Budget in steps instead: reproducible.")
@click.option(
    "--model", type=click.Choice(["tiny", "small", "base", "resnet"]), default="small", show_default=True, help=_MODEL
)
@click.option(
    "--set", "sets", multiple=True, type=click.Choice(SET_NAMES), help="Data set to train on; default: the first 3."
)
@click.option("--folder", "folders", multiple=True, type=FOLDER, help=_FOLDER)
@click.option(
    "--init",
    default="random",
    show_default=True,
    metavar="random|pretrained:DIR|trained:DIR",
    help="Weights to start with: the encoder of a pretraining run, or all weights of a finetune run.",
)
@click.option(
    "--labels", type=click.Choice(list(_LABELS)), default="100%", show_default=True, help="Part of the patients."
)
@click.option("--probe", type=click.FloatRange(0, 1), default=0.0, show_default=True, help=_PROBE)
@click.option("--layer-decay", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help=_DECAY)
@click.option("--teacher", "teachers", multiple=True, type=FOLDER, help=_TEACHER)
@click.option("--contrast", type=click.FloatRange(min=0), default=0.0, show_default=True, help=_CONTRAST)
@click.option("--batch-size", type=click.IntRange(min=4), default=128, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=2e-3, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@machine_options
@click.option("--resume", is_flag=True, help="Continue the run in --out, with the same options.")
def finetune(  # noqa: PLR0913 - one argument an option
    *,
    data: Path | None,
    out: Path,
    minutes: float | None,
    steps: int | None,
    model: str,
    sets: tuple[str, ...],
    folders: tuple[Path, ...],
    init: str,
    labels: str,
    probe: float,
    layer_decay: float,
    teachers: tuple[Path, ...],
    contrast: float,
    batch_size: int,
    learning_rate: float,
    seed: int,
    threads: int,
    device: str,
    resume: bool,
) -> None:
    r"""Train on labelled records, from random weights or a pretrained encoder. Also runs under torchrun.

    \b
    Examples:
      ecg-train finetune --data ~/.cache/ecg-nat/data --out runs/first --minutes 60
      ecg-train finetune --folder ~/my-records --init trained:training/weights/taught --out runs/mine --minutes 20
      ecg-train finetune --data ~/.cache/ecg-nat/data --out runs/few --steps 2000 --set ptb-xl --labels 1% \
          --init pretrained:runs/pretrained --probe 0.3 --layer-decay 0.8 --contrast 0.25
    """
    import dataclasses

    from ecgnat.networks import network_config
    from training.data.labels import NAMES
    from training.loop import checkpoint
    from training.supervised.finetune import FinetuneSetup
    from training.supervised.finetune import finetune as run
    from training.supervised.trainer import FinetuneConfig

    check_budget(minutes, steps)
    if data is None and (sets or not folders):
        raise click.UsageError("give --data for the known sets, or --folder, or both")
    origin, _, folder = init.partition(":")
    if init != "random" and not (origin in {"pretrained", "trained"} and Path(folder).is_dir()):
        raise click.UsageError("--init is random, or pretrained: or trained: with the folder of such a run")
    network = network_config(cast("NetworkName", model), len(NAMES))
    if origin != "random":
        begun = checkpoint.load_model(Path(folder))[0].config
        network = dataclasses.replace(begun, outputs=network.outputs, drop_path=network.drop_path)
    take_machine(threads, device, many=True, minutes=minutes)
    config = FinetuneConfig(
        minutes=minutes,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        probe_share=probe,
        layer_decay=layer_decay,
        contrastive_weight=contrast,
        device=device,
    )
    setup = FinetuneSetup(
        network=network,
        sets=sets or DEFAULT_SETS,
        folders=folders,
        pretrained=Path(folder) if origin == "pretrained" else None,
        trained=Path(folder) if origin == "trained" else None,
        teachers=teachers,
        label_share=_LABELS[labels],
    )
    run(data, out, config, setup, resume=resume)
