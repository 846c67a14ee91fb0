"""The command line that makes bundles: `ecg-calibrate`, or `python -m calibration`."""

import click

from edge.commands.group import LazyGroup, run
from edge.core.errors import EdgeError
from training.errors import TrainingError

_COMMANDS = {
    "export": ("calibration.commands.export", "Make a bundle from a checkpoint."),
    "quantize": ("calibration.commands.quantize", "Add the fp16 and int8 graphs to a bundle."),
    "add-beats": ("calibration.commands.add_beats", "Add the networks for beats and fibrillation."),
    "tune": ("calibration.commands.tune", "Set the alarms within a budget of false alarms."),
    "keygen": ("calibration.commands.keygen", "Make a key for signing bundles."),
    "sign": ("calibration.commands.sign", "Sign a bundle for devices that check signatures."),
    "compare": ("calibration.commands.compare", "Compare every precision of a bundle with FP32; the gate."),
}


@click.group("ecg-calibrate", cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    r"""Make model bundles for the device.

    \b
    Example:
      ecg-calibrate export --checkpoint runs/first --data ~/.cache/ecg-nat/data --out edge/bundles/rhythm
    """


def main() -> None:
    """Run the command line."""
    run(cli, (TrainingError, EdgeError))


if __name__ == "__main__":
    main()
