"""`ecg-edge run`: the service."""

import logging
from pathlib import Path

import click

from edge.commands.stopping import stop_on_signal
from edge.config import find_bundle, read_config
from edge.service import Service


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="TOML file; deploy/ecg-edge.example.toml shows all of it.",
)
@click.option("--check", is_flag=True, help="Read configuration and bundle, and stop.")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, not only what goes wrong.")
def run(path: Path, check: bool, verbose: bool) -> None:
    r"""Run as the service that a configuration file describes, until SIGTERM or Ctrl-C.

    \b
    Example:
      ecg-edge run --config /etc/ecg-nat/ecg-edge.toml --verbose
    """
    if verbose:
        logging.getLogger("edge").setLevel(logging.INFO)
    config = read_config(path)
    service = Service(config, find_bundle(config.model))
    if check:
        click.echo(f"{path}: good")
        return
    with stop_on_signal(service.stop):
        service.run()
