"""`ecg-calibrate add-beats`."""

from pathlib import Path

import click

from training.commands.options import FOLDER, NEW_FOLDER

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("add-beats")
@click.option("--model", type=FOLDER, required=True, help="Bundle to add the networks to.")
@click.option("--beats", type=_FILE, required=True, help="beats.onnx of `ecg-train beats`.")
@click.option("--fibrillation", type=_FILE, help="fibrillation.onnx; needs --spectrum.")
@click.option("--spectrum", type=_FILE, help="spectrum.npz; needs --fibrillation.")
@click.option(
    "--data",
    type=FOLDER,
    help="Folder of the data sets; cinc2015/ALARMS.csv names records that trained. Default: $ECG_DATA or the cache.",
)
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the new bundle; may be that of --model.")
def add_beats(
    *, model: Path, beats: Path, fibrillation: Path | None, spectrum: Path | None, data: Path | None, out: Path
) -> None:
    r"""Add the networks that classify beats and find ventricular fibrillation to a bundle.

    The graphs are run before anything is written. The records that trained them are added to seen_records.json, and a
    signature is removed: sign the bundle again.

    \b
    Example:
      ecg-calibrate add-beats --model bundles/mine --out bundles/mine --beats runs/beats/beats.onnx \
          --fibrillation runs/vf/fibrillation.onnx --spectrum runs/vf/spectrum.npz
    """
    from calibration.export.beats import BeatFiles, seen_records
    from calibration.export.beats import add_beats as run
    from edge.bundle.manifest import load_bundle
    from edge.sources.record_path import data_root

    if (fibrillation is None) != (spectrum is None):
        raise click.UsageError("give both --fibrillation and --spectrum, or neither")
    seen = seen_records(data or data_root(), fibrillation=fibrillation is not None)
    manifest = run(load_bundle(model), BeatFiles(beats, fibrillation, spectrum), seen, out)
    names = ", ".join(manifest.beats.files) if manifest.beats else ""
    click.echo(f"{out}: {names} added")
