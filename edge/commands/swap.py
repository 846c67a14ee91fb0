"""`ecg-edge swap`: brings a new bundle into the running service."""

import time
from pathlib import Path

import click

from edge.bundle.shipped import find_bundle
from edge.commands.options import json_option
from edge.core.errors import BundleError, ConfigError
from edge.publish.swap_outcome import SWAP_RESULTS, Outcome
from edge.service.config import read_config
from edge.service.swap.store import BundleStore, SwapRequest, store_of

_POLL_S = 0.1


@click.command()
@click.argument("bundle")
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="/etc/ecg-edge/ecg-edge.toml",
    show_default=True,
    help="The service's TOML file; the bundle is staged in its [bundle] state.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1),
    default=1800.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit for the outcome.",
)
@json_option()
def swap(bundle: str, path: Path, timeout_s: float, json_path: Path | None) -> None:
    r"""Swap the running service to BUNDLE, a folder or the name of a shipped bundle, and wait for the outcome.

    The bundle must match its hashes, be signed if [bundle] public_keys requires it, reproduce its golden windows on
    this back end, and raise at most [bundle] most_alarms_per_hour alarms on the last hour of the streams. Then it
    serves on probation, without a lost window; if it fails, the bundle before it takes over again. The exit code is 0
    when the bundle is accepted. It then serves after a restart too.

    \b
    Examples:
      sudo ecg-edge swap bundles/mine
      ecg-edge swap rhythm --config ecg-edge.toml --json outcome.json
    """
    config = read_config(path)
    store = store_of(config)
    if store is None:
        raise ConfigError(f'{path}: a swap needs a state folder: set state in [bundle], such as "/var/lib/ecg-edge"')
    # The lock keeps two commands from deleting each other's staged bundle.
    with store.asking():
        store.prune()
        request = SwapRequest.of(store.stage(find_bundle(bundle)), config.model)
        store.write(request)
        outcome = _await(store, request, time.monotonic() + timeout_s)
    if json_path is not None:
        from edge.core.output import write_json

        write_json(outcome, json_path)
    if outcome.state != "accepted":
        raise BundleError(f"{outcome.bundle or bundle} {outcome.state.replace('_', ' ')}: {outcome.why}")
    click.echo(f"{outcome.bundle} accepted" + (f": {outcome.why}" if outcome.why else ""))


def _await(store: BundleStore, request: SwapRequest, until_s: float) -> Outcome:
    """Return the final outcome, and print the states before it."""
    shown = ""
    while time.monotonic() < until_s:
        outcome = store.outcome
        if outcome is not None and outcome.id == request.id:
            if outcome.state in SWAP_RESULTS:
                return outcome
            if outcome.state != shown:
                shown = outcome.state
                click.echo(f"{outcome.bundle}: {shown.replace('_', ' ')}", err=True)
        time.sleep(_POLL_S)
    where = f"it is {shown.replace('_', ' ')}" if shown else "the service has not begun with it"
    raise BundleError(f"no outcome in time, {where}; see the service's log and status for the outcome")
