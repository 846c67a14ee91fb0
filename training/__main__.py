"""The command line of the workstation: `ecg-train`, or `python -m training`."""

import click

from edge.commands.group import LazyGroup, run
from edge.core.errors import EdgeError
from training.errors import TrainingError

_COMMANDS = {
    "fetch": ("training.commands.fetch", "Download a data set from PhysioNet."),
    "pretrain": ("training.commands.pretrain", "Pretrain the encoder without labels."),
    "finetune": ("training.commands.finetune", "Train on labelled records."),
    "crossval": ("training.commands.crossval", "Train five folds of MIT-BIH, and predict unseen patients."),
    "beats": ("training.commands.beats", "Train the network that classifies beats."),
    "fibrillation": ("training.commands.fibrillation", "Train what finds ventricular fibrillation."),
    "compare": ("training.commands.compare", "Score networks side by side."),
    "study": ("training.commands.study", "Train and score the arms of a study."),
    "evaluate": ("training.commands.evaluate", "Score a bundle on a data set."),
}


@click.group("ecg-train", cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    r"""Train and evaluate ECG-NAT.

    \b
    Examples:
      ecg-train fetch mitdb
      ecg-train pretrain --data ~/.cache/ecg-nat/data --out runs/pretrained --minutes 60
      ecg-train finetune --data ~/.cache/ecg-nat/data --out runs/first --minutes 60
      ecg-train crossval --data ~/.cache/ecg-nat/data --init runs/base --out runs/folds --minutes 5
      ecg-train compare runs/first runs/resnet --data ~/.cache/ecg-nat/data
      ecg-train evaluate ptb-xl --data ~/.cache/ecg-nat/data --model rhythm --folds 9
    """


def main() -> None:
    """Run the command line."""
    run(cli, (TrainingError, EdgeError))


if __name__ == "__main__":
    main()
