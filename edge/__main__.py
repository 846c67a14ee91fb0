"""The command line of the device: `ecg-edge`, or `python -m edge`."""

import click

from edge import __version__
from edge.commands.group import LazyGroup, run
from edge.core.errors import EdgeError

_COMMANDS = {
    "ack": ("edge.commands.ack", "Acknowledge or silence an alarm of a device."),
    "bench": ("edge.commands.bench", "Measure how many streams one core can handle."),
    "build": ("edge.commands.build", "Build, check and time a TensorRT engine for this device."),
    "demo": ("edge.commands.demo", "Run the whole path on a synthetic patient, with its own broker."),
    "doctor": ("edge.commands.doctor", "Check this machine and a configuration, and show how to fix faults."),
    "evidence": ("edge.commands.evidence", "Write the ECG behind an alert, as a WFDB record and as a picture."),
    "replay": ("edge.commands.replay", "Send a WFDB record through the real path."),
    "run": ("edge.commands.run", "Run the service that a configuration file describes."),
    "score": ("edge.commands.score", "Score the alarms on annotated WFDB records."),
    "score-noise": ("edge.commands.score_noise", "Score the alarms on records with real noise added."),
    "swap": ("edge.commands.swap", "Swap the running service to a new bundle."),
    "watch": ("edge.commands.watch", "Follow the alerts of devices on a broker."),
}


@click.group("ecg-edge", cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ecg-edge")
def cli() -> None:
    r"""Streaming ECG monitor: windows, classifier, alarms, alerts over MQTT.

    A research tool, not a medical device.

    \b
    Examples:
      ecg-edge demo
      ecg-edge replay mitdb/208 --speed max --json result.json
      ecg-edge run --config /etc/ecg-edge/ecg-edge.toml
    """


def main() -> None:
    """Run the command line."""
    run(cli, EdgeError)


if __name__ == "__main__":
    main()
