"""Records with added noise through the whole monitor, with results known for the tiny bundle."""

import numpy as np
import pytest
import wfdb
from click.testing import CliRunner
from scoring_records import RATE_HZ, write_record

from edge.commands.score_noise import score_noise
from edge.core.errors import EdgeError
from edge.lab.scoring.noise_stress import StressConfig, run_noise_stress

SECONDS = 500  # noisy from 300 to 420 s; loud at first, so that its ADC has room for noise


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write a quiet record, and noise whose height beside a QRS complex's the SNR sets."""
    root = tmp_path_factory.mktemp("data")
    (root / "mitdb").mkdir()
    (root / "nstdb").mkdir()
    write_record(root / "mitdb", "118", [(0, 5, 8.0)], [("(N", 0)], seconds=SECONDS)
    noise = np.sin(2 * np.pi * 6 * np.arange(SECONDS * RATE_HZ) / RATE_HZ)[:, None]
    wfdb.wrsamp("ma", RATE_HZ, ["mV"], ["noise"], p_signal=noise, fmt=["16"], write_dir=str(root / "nstdb"))
    return root


def config(data, **changes):
    fields = {"folder": data / "mitdb", "noise_folder": data / "nstdb", "records": ("118",), "noises": ("ma",)}
    return StressConfig(**fields | {"snr_db": (24.0, -6.0, -24.0)} | changes)


def test_what_noise_does(data, tiny_bundle):
    """The QRS complexes are 0.4 mV high: at 24 dB noise is nothing, at -6 dB it looks like AF, at -24 dB like noise.

    Its mean square is 0.02 mV^2 times 10 to the SNR / -10: 0.08 at -6 dB, over AF's 0.05; 5 at -24 dB, over
    NOISE's 4.
    """
    score = run_noise_stress(tiny_bundle, config(data))
    assert (score.clean.false_alarms, score.clean.in_clean.technical) == (0, 0.0)
    mild, loud, worst = score.conditions
    assert (mild.false_alarms, mild.in_noise.technical) == (0, 0.0)
    assert (loud.false_alarms, loud.in_noise.technical) == (1, 0.0)
    assert loud.above_clean_per_hour == pytest.approx(3600 / (SECONDS - 300))
    assert worst.in_noise.technical > 0.9
    assert worst.in_clean.technical < 0.2, "the window that holds the end of the noise"


def test_noise_as_wide_as_the_converter_masks_its_lead(data, tiny_bundle):
    """Windows of 10 s begin each second: 111 lie wholly in the noisy period, and 71 behind it.

    Without noise they are all good. At -50 dB it swings between the ADC's ends, 8 mV to either side, and so is more
    than 3 mV off for half of each second.
    """
    score = run_noise_stress(tiny_bundle, config(data, snr_db=(-50.0,)))
    clean, (noisy,) = score.clean, score.conditions
    assert (noisy.in_noise.windows, noisy.in_clean.windows) == (111, 71)
    assert (clean.in_noise.masked, clean.in_noise.unjudged) == ({"II": 0.0}, 0.0)
    assert (noisy.in_noise.masked, noisy.in_noise.unjudged) == ({"II": 1.0}, 1.0)
    assert noisy.in_clean.masked == {"II": 0.0}


def test_the_command(data, tiny_bundle_path, tmp_path):
    results, picture, report = tmp_path / "R.md", tmp_path / "p.png", tmp_path / "n.json"
    arguments = [data / "mitdb", "--model", tiny_bundle_path, "--records", "118", "--noise", "ma", "--snr", "-6"]
    arguments += ["--results", results, "--picture", picture, "--json", report]
    outcome = CliRunner().invoke(score_noise, list(map(str, arguments)), catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    assert "| ma | -6 | 1 |" in results.read_text()
    assert "| noise | SNR dB | II masked | unjudged |" in results.read_text()
    assert "](p.png)" in results.read_text()
    assert picture.stat().st_size > 5000
    assert '"above_clean_per_hour"' in report.read_text()


def test_an_absent_noise_record(data, tiny_bundle):
    with pytest.raises(EdgeError, match="em: cannot be read"):
        run_noise_stress(tiny_bundle, config(data, noises=("em",)))
