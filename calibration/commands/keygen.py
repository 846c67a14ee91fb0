"""`ecg-calibrate keygen`."""

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File of the private key; only you can read it, and it is never overwritten.",
)
def keygen(out: Path) -> None:
    r"""Make an Ed25519 key for signing bundles, and print the lines for the devices' configuration.

    Keep the file off the devices: whoever has it decides what they run.

    \b
    Example:
      ecg-calibrate keygen --out ~/.config/ecg-nat/bundles.key
    """
    from calibration.bundle.signing import new_key

    public = new_key(out)
    click.echo(f'[bundle]\npublic_keys = ["{public}"]')
