"""`ecg-train fetch`: its options."""

from pathlib import Path

import click

from training.data.fetching import PHYSIONET, SETS


@click.command()
@click.argument("name", type=click.Choice(list(SETS)))
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("~/.cache/ecg-nat/data"),
    envvar="ECG_DATA",
    show_default=True,
    help="Folder that holds the sets, each in a folder of its name.",
)
@click.option("--source", default=PHYSIONET, show_default=True, help="Another server with the same layout.")
def fetch(*, name: str, data: Path, source: str) -> None:
    r"""Download a data set from PhysioNet; every file is checked against its SHA-256.

    What is there and whole is not downloaded again. ptb-xl has the records of 100 Hz, ptb-xl-500 those of 500 Hz;
    cinc2020 and cinc2021 leave out their copies of PTB-XL, whose fold 10 is a test set.

    \b
    Examples:
      ecg-train fetch mitdb
      ecg-train fetch ptb-xl --data /data/ecg
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from training.data.fetching import fetch as run

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)

        def progress(done: int, total: int, file: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{name}  {file}")

        count = run(name, data.expanduser(), progress, source.rstrip("/"))
    click.echo(f"{name}: {count} files, all as PhysioNet lists them")
