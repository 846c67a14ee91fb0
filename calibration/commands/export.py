"""`ecg-calibrate export`: its options."""

from pathlib import Path

import click

from edge import __version__


@click.command()
@click.option("--checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder that holds ptb-xl/, cinc2017/ and mitdb/: for thresholds, parity and figures.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the bundle.")
@click.option(
    "--labels",
    type=click.Choice(["rhythm", "diagnostic"]),
    default="rhythm",
    show_default=True,
    help="rhythm: the product's labels, with alarms; diagnostic: SCP statements and superclasses.",
)
@click.option("--bundle-version", default=__version__, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
def export(*, checkpoint: Path, data: Path, out: Path, labels: str, bundle_version: str, threads: int) -> None:
    r"""Make a bundle from a checkpoint, with every gate and figure.

    \b
    Example:
      ecg-calibrate export --checkpoint runs/first --data ~/.cache/ecg-nat/data --out edge/bundles/rhythm
    """
    import torch
    from rich.console import Console

    from calibration.export import make_bundle

    torch.set_num_threads(threads)
    console = Console(stderr=True)
    with console.status("making the bundle"):
        manifest = make_bundle(
            checkpoint,
            data,
            out,
            "diagnostic" if labels == "diagnostic" else "rhythm",
            bundle_version,
            click.echo,
        )
    click.echo(f"{out}: {manifest.name} {manifest.version}, {len(manifest.labels)} labels")
