"""The command line `ecg-train`: from a plain folder to a pretrained encoder and a fine-tuned network."""

import re

import numpy as np
import pytest
import torch
import wfdb

from training.data.labels import NAMES
from training.data.splits import snomed_part
from training.loop import checkpoint, pictures
from training.loop.log import LOG
from training.loop.state import STATE
from training.masked.pictures import RECONSTRUCTIONS


def write(folder, name, seconds, rate_hz, leads, comments=()):
    """Write a record of beats and a little noise."""
    folder.mkdir(parents=True, exist_ok=True)
    beat = (np.arange(seconds * rate_hz) / rate_hz % 0.8 - 0.4) / 0.02
    noise = np.random.default_rng(len(name)).normal(0, 0.02, (beat.size, len(leads)))
    wave = np.exp(-np.minimum(beat**2, 20))[:, None] + noise
    shape = {"fmt": ["16"] * len(leads), "comments": list(comments), "write_dir": str(folder)}
    wfdb.wrsamp(name, rate_hz, ["mV"] * len(leads), leads, wave, **shape)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Write a plain folder, a small CinC 2017 and the noise records, all as WFDB files."""
    root = tmp_path_factory.mktemp("data")
    for number in range(6):
        write(root / "mine", f"m{number}", 21, 250, ["II", "V5"])
    names = [f"A{number:05}" for number in range(40)]
    for name in names:
        write(root / "cinc2017", name, 12, 300, ["ECG"])
    classes = "".join(f"{name},{'NAO'[i % 3]}\n" for i, name in enumerate(names))
    (root / "cinc2017" / "REFERENCE-v3.csv").write_text(classes)
    for name in ("bw", "ma"):
        write(root / "nstdb", name, 25, 360, ["noise1", "noise2"])
    return root


@pytest.fixture(autouse=True)
def _cache(root, monkeypatch):
    monkeypatch.setenv("ECG_CACHE", str(root / "cache"))


def test_from_a_folder_to_a_network(root, ecg_train):
    small = ("--model", "tiny", "--batch-size", 4, "--threads", 1)
    out, tuned = root / "pretrained", root / "tuned"
    code, _, error = ecg_train("pretrain", "--folder", root / "mine", "--out", out, "--steps", 2, *small)
    assert code == 0, error
    wanted = {checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.COMMAND, STATE, LOG}
    assert {path.name for path in out.iterdir()} == wanted | {pictures.LOSS, RECONSTRUCTIONS}
    on = ("--init", out, "--out", root / "further-pretrained", "--steps", 1, "--seed", 9, "--learning-rate", 1e-12)
    code, _, error = ecg_train("pretrain", "--folder", root / "mine", *on, *small)
    assert code == 0, error
    before, after = (dict(checkpoint.load_model(folder)[0].named_parameters()) for folder in (out, on[3]))
    encoder = [name for name in before if not name.startswith("head.")]
    assert all(torch.allclose(after[name], before[name]) for name in encoder), "it goes on, not anew"
    options = ("--init", f"pretrained:{out}", "--labels", "10%", "--probe", 0.5, "--contrast", 0.25, "--steps", 2)
    code, text, error = ecg_train("finetune", "--data", root, "--set", "cinc2017", "--out", tuned, *options, *small)
    assert code == 0, error
    assert "cinc2017: 3 windows train" in text, "a tenth of the records that train"
    assert checkpoint.load_model(tuned)[1] == NAMES


def test_a_folder_with_diagnoses_is_enough_to_train(root, ecg_train):
    """The names of the records decide which validate; some of these twelve do."""
    for number in range(12):
        code = ("426783006", "164889003")[number % 2]
        write(root / "own", f"o{number}", 12, 250, ["I", "II"], [f"Dx: {code}"])
    small = ("--folder", root / "own", "--steps", 2, "--batch-size", 4, "--threads", 1, "--model", "tiny")
    code, text, error = ecg_train("finetune", *small, "--out", root / "of-own")
    assert code == 0, error
    train, validate = map(int, re.search(r"diagnosed-\w+: (\d+) windows train, (\d+) validate", text).groups())
    assert train + validate + sum(snomed_part(f"o{n}") == "judge" for n in range(12)) == 12
    assert train > validate > 0
    again = ("--init", f"trained:{root / 'of-own'}", "--out", root / "further")
    assert ecg_train("finetune", *small, *again)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("pretrain", "--out", "x", "--steps", 1), 2, "give --data for the known sets, or --folder"),
        (("pretrain", "--folder", "cinc2017", "--out", "x", "--steps", 1), 1, "use --set cinc2017"),
        (("pretrain", "--folder", "nstdb", "--out", "x", "--steps", 1), 1, "no record was found"),
        (("pretrain", "--folder", "mine", "--out", "x", "--steps", 1, "--resume"), 1, "no usable checkpoint to resume"),
        (("pretrain", "--folder", "mine", "--out", "x", "--steps", 1, "--init", "nstdb"), 1, "nstdb"),
        (("finetune", "--out", "x", "--steps", 1), 2, "give --data for the known sets, or --folder"),
        (("finetune", "--folder", "mine", "--out", "x", "--steps", 1), 1, "names no diagnosis"),
        (("finetune", "--data", ".", "--out", "x", "--steps", 1, "--init", "pretrained:no"), 2, "--init is random"),
    ],
)
def test_errors_are_one_line(root, ecg_train, arguments, code, message):
    arguments = [str(root / a) if a in {"cinc2017", "nstdb", "mine", "x", "."} else a for a in arguments]
    got, _, error = ecg_train(*arguments)
    assert got == code
    assert message in error
