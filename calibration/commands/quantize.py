"""`ecg-calibrate quantize`: its options."""

from pathlib import Path

import click

from calibration.quantization.ranges import METHODS


@click.command()
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Folder of a bundle with an FP32 graph.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder that holds ptb-xl/, cinc2017/, mitdb/ and nstdb/.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the new bundle; may be the same.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="How ranges are chosen; default: each layer's best.",
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
    from rich.console import Console
    from rich.progress import Progress

    from calibration.quantization.quantizer import Task
    from calibration.quantization.quantizer import quantize as make

    chosen = next((name for name in METHODS if name == method), None)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("quantize", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        manifest = make(Task(model, data, out, chosen, records, seed), click.echo, progress)
    click.echo(f"{out}: {manifest.name} {manifest.version}, graphs {', '.join(manifest.graphs)}")
