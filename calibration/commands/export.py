"""`ecg-calibrate export`."""

from pathlib import Path

import click
import msgspec

from edge import __version__
from edge.bundle.manifest import Pooling
from training.commands.options import FOLDER, NEW_FOLDER
from training.data.windows import INPUT


@click.command()
@click.option("--checkpoint", type=FOLDER, required=True)
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="Folder that holds ptb-xl/, cinc2017/ and mitdb/: for thresholds, parity and figures.",
)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the bundle.")
@click.option(
    "--window-s",
    type=click.FloatRange(0.5, 60),
    default=INPUT.window_s,
    show_default=True,
    help="Length of a window.",
)
@click.option(
    "--hop-s",
    type=click.FloatRange(0.1, 60),
    default=INPUT.hop_s,
    show_default=True,
    help="From one window to the next.",
)
@click.option(
    "--pool", type=click.IntRange(1, 600), default=5, show_default=True, help="Windows that a decision is the mean of."
)
@click.option("--bundle-version", default=__version__, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
def export(  # noqa: PLR0913 - one argument an option
    *,
    checkpoint: Path,
    data: Path,
    out: Path,
    window_s: float,
    hop_s: float,
    pool: int,
    bundle_version: str,
    threads: int,
) -> None:
    r"""Make a bundle from a checkpoint: graph, thresholds, golden windows, figures and model card.

    \b
    Examples:
      ecg-calibrate export --checkpoint runs/first --data ~/.cache/ecg-nat/data --out edge/bundles/rhythm
      ecg-calibrate export --checkpoint runs/long --data data --out /tmp/long --window-s 10 --pool 1
    """
    import torch
    from rich.console import Console

    from calibration.export.exporter import ExportSetup, make_bundle

    torch.set_num_threads(threads)
    console = Console(stderr=True)
    spec = msgspec.structs.replace(INPUT, window_s=window_s, hop_s=hop_s)
    pooling = Pooling("mean", pool) if pool > 1 else Pooling()
    with console.status("making the bundle"):
        manifest = make_bundle(ExportSetup(checkpoint, data, out, spec, pooling, bundle_version), click.echo)
    click.echo(f"{out}: {manifest.name} {manifest.version}, {len(manifest.labels)} labels")
