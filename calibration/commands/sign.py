"""`ecg-calibrate sign`."""

from datetime import datetime, timezone
from pathlib import Path

import click


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--key",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Private key, from `ecg-calibrate keygen`.",
)
def sign(bundle: Path, key: Path) -> None:
    r"""Verify every hash of BUNDLE and sign it; an earlier signature is replaced.

    \b
    Example:
      ecg-calibrate sign bundles/mine --key ~/.config/ecg-nat/bundles.key
    """
    from calibration.bundle.signing import public_key, read_key, sign_bundle

    private = read_key(key)
    statement = sign_bundle(bundle, private, datetime.now(timezone.utc))
    click.echo(f"{bundle}: {statement.name} {statement.version} signed, public key {public_key(private)}")
