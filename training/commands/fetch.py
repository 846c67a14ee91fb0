"""`ecg-train fetch`."""

from pathlib import Path

import click

from training.commands.options import progress_bar
from training.data.fetching import PHYSIONET, SETS


@click.command()
@click.argument("name", type=click.Choice(list(SETS)))
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("~/.cache/ecg-nat/data"),
    envvar="ECG_DATA",
    show_default=True,
    help="Folder that holds the sets, each in its own folder.",
)
@click.option("--source", default=PHYSIONET, show_default=True, help="Another server with the same layout.")
def fetch(*, name: str, data: Path, source: str) -> None:
    r"""Download a data set from PhysioNet; every file is checked against its SHA-256.

    Complete files are not downloaded again. ptb-xl has the records at 100 Hz, ptb-xl-500 those at 500 Hz. cinc2020 and
    cinc2021 come without their copies of PTB-XL, because its fold 10 is a test set.

    \b
    Examples:
      ecg-train fetch mitdb
      ecg-train fetch ptb-xl --data /data/ecg
    """
    from training.data.fetching import fetch as run

    with progress_bar() as progress:
        count = run(name, data.expanduser(), progress, source.rstrip("/"))
    click.echo(f"{name}: {count} files, all as PhysioNet lists them")
