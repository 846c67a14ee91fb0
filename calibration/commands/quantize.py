"""`ecg-calibrate quantize`."""

from pathlib import Path

import click

from calibration.quantization.ranges import METHODS
from training.commands.options import FOLDER, NEW_FOLDER, progress_bar


@click.command()
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Folder of a bundle with an FP32 graph.")
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="Folder that holds ptb-xl/, cinc2017/, mitdb/ and nstdb/.",
)
@click.option(
    "--out",
    type=NEW_FOLDER,
    required=True,
    help="Folder of the new bundle; may be --model.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="Method of the ranges; default: the best of each layer.",
)
@click.option("--records", type=click.IntRange(min=3), default=384, show_default=True, help="Calibration windows.")
@click.option("--seed", type=int, default=0, show_default=True)
def quantize(*, model: Path, data: Path, out: Path, method: str | None, records: int, seed: int) -> None:
    r"""Add the graphs fp16, int8 and int8_fp16 to a bundle, with ranges from training records.

    \b
    Examples:
      ecg-calibrate quantize --model edge/bundles/rhythm --data ~/.cache/ecg-nat/data --out edge/bundles/rhythm
      ecg-calibrate quantize --model edge/bundles/rhythm --data data --out /tmp/trial --method entropy --records 1024
    """
    from calibration.quantization.quantizer import QuantizeSetup
    from calibration.quantization.quantizer import quantize as make

    chosen = next((name for name in METHODS if name == method), None)  # typed, which click's text is not
    with progress_bar() as progress:
        manifest = make(QuantizeSetup(model, data, out, chosen, records, seed), click.echo, progress)
    click.echo(f"{out}: {manifest.name} {manifest.version}, graphs {', '.join(manifest.graphs)}")
