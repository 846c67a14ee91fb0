"""`ecg-train fibrillation`."""

from pathlib import Path

import click

from training.commands.options import FOLDER, NEW_FOLDER, progress_bar, take_machine


@click.command()
@click.option("--data", type=FOLDER, required=True, help="Folder of mitdb/, svdb/, vfdb/, cudb/, cinc2015/, nstdb/.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the results.")
@click.option("--seed", type=click.IntRange(min=0), default=1000, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=600, show_default=True, help="Training steps.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads.")
def fibrillation(*, data: Path, out: Path, seed: int, steps: int, threads: int) -> None:
    r"""Train what finds ventricular fibrillation, flutter and fast tachycardia in the signal.

    OUT gets fibrillation.onnx, its weights, and spectrum.npz, the regression on the spectrum that goes with it.
    `ecg-calibrate add-beats` puts them into a bundle.

    \b
    Example:
      ecg-train fibrillation --data ~/.cache/ecg-nat/data --out runs/fibrillation
    """
    from training.beats.fibrillation import GRAPH, WindowSampler, fit, write_network
    from training.beats.fibrillation_windows import filtered_noise, read_windows
    from training.beats.regression import SPECTRUM, write_spectrum

    take_machine(threads, "cpu")
    with progress_bar() as progress:
        leads = read_windows(data, progress)
    out.mkdir(parents=True, exist_ok=True)
    write_spectrum(leads, out)
    sampler = WindowSampler(leads, filtered_noise(data / "nstdb"), seed)
    write_network(fit(sampler, steps, seed, lambda line: click.echo(line, err=True)), out)
    click.echo(out / GRAPH)
    click.echo(out / SPECTRUM)
