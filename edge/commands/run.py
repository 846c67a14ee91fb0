"""`ecg-edge run`: runs the service."""

import faulthandler
import logging
import signal
from pathlib import Path

import click

from edge.commands.options import json_option
from edge.commands.stopping import stop_on_signal
from edge.core.output import write_json
from edge.service.choose_bundle import choose_bundle
from edge.service.config import read_config
from edge.service.supervisor import Service


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="TOML file; deploy/ecg-edge.example.toml shows every key.",
)
@click.option("--check", is_flag=True, help="Check configuration and bundle, and exit.")
@json_option()
@click.option("-v", "--verbose", is_flag=True, help="Log normal events too, not only trouble.")
def run(path: Path, check: bool, json_path: Path | None, verbose: bool) -> None:
    r"""Run the service that a configuration file describes, until SIGTERM or Ctrl-C.

    With --json, the account of all samples is written at the end. With [bundle] state, SIGHUP swaps to the bundle that
    the file names at that time, as `ecg-edge swap` does.

    \b
    Examples:
      ecg-edge run --config /etc/ecg-edge/ecg-edge.toml --verbose
      ecg-edge run --config ecg-edge.toml --json account.json
    """
    faulthandler.enable()  # when the watchdog kills the service, by SIGABRT, the log shows where each thread was
    if verbose:
        logging.getLogger("edge").setLevel(logging.INFO)
    config = read_config(path)
    service = Service(config, choose_bundle(config))
    if check:
        click.echo(f"{path}: good")
        return
    if service.swapper is not None:
        reload = service.swapper.reload
        signal.signal(signal.SIGHUP, lambda _number, _frame: reload(path))
    with stop_on_signal(service.stop):
        service.run()
    if json_path is not None:
        write_json(service.report(), json_path)
