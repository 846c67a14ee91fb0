"""Cross-validation: the folds, and a run of two small ones over real files that is interrupted and continued."""

import dataclasses
import sys

import numpy as np
import pytest
import toy_data

from ecgnat.networks import make_network, network_config
from edge.lab.scoring.annotation import patient_of
from training.__main__ import main
from training.data import cache, folds, splits
from training.data.folds import FOLDS, split_without
from training.data.labels import NAMES
from training.errors import CheckpointError
from training.evaluation.outputs import load_outputs
from training.loop import checkpoint
from training.supervised import crossval
from training.supervised.trainer import FinetuneConfig

DS1 = {"101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122", "124"} | {
    "201",
    "203",
    "205",
    "207",
    "208",
    "209",
    "215",
    "220",
    "223",
    "230",
}
TWO = {"fold-1": ("101",), "fold-2": ("203", "215")}


def test_the_folds_are_the_unpaced_records_of_ds1_each_once():
    records = [record for fold in FOLDS.values() for record in fold]
    assert len(FOLDS) == 5
    assert len(records) == 22
    assert set(records) == DS1
    assert all(patient_of(record) == record for record in records), "no two records of one person"


@pytest.mark.parametrize(
    ("records", "at_least"),
    [(("201", "203"), 2), (("203", "205", "207", "223"), 4), (("106", "119", "201", "203", "208", "223"), 5)],
    ids=["AF", "VT", "PVC"],
)
def test_rare_rhythms_are_spread_over_the_folds(records, at_least):
    assert sum(bool(set(records) & set(fold)) for fold in FOLDS.values()) == at_least


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Toy sets, and the folder of their caches."""
    root = tmp_path_factory.mktemp("crossval")
    toy_data.write(root / "data")
    return root


@pytest.fixture
def ecg_train(root, monkeypatch, capsys):
    monkeypatch.setenv("ECG_CACHE", str(root / "cache"))
    monkeypatch.setattr(crossval, "FOLDS", TWO)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["ecg-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, capsys.readouterr()

    return command


def test_a_fold_never_trains_on_its_patients(root, monkeypatch):
    monkeypatch.setenv("ECG_CACHE", str(root / "cache"))
    data = root / "data"
    for name in ("mitdb", "cinc2017"):
        windows = cache.load(name, data)
        usual, rows = splits.rows_of(windows, data), split_without(("203", "208"))(windows, data)
        if name == "cinc2017":
            assert all(np.array_equal(rows[part], usual[part]) for part in splits.PARTS)
            continue
        assert set(windows.patient[rows["validation"]]) == {"203", "208"}
        assert set(windows.patient[rows["train"]]) == {"101", "106", "201", "215"}


def test_two_folds(root, ecg_train):
    data, base, out = root / "data", root / "base", root / "out"
    small = ("--data", data, "--batch-size", 8, "--threads", 1, "--steps", 2)
    code, output = ecg_train(
        "finetune", *small, "--set", "ptb-xl", "--set", "cinc2017", "--out", base, "--model", "tiny"
    )
    assert code == 0, output.err
    arguments = ("crossval", *small, "--init", base, "--teacher", base, "--out", out, "--whole", "--json", "-")
    code, output = ecg_train(*arguments)
    assert code == 0, output.err
    assert '"fold-2"' in output.out
    outputs = {record: load_outputs(out / "probabilities" / f"{record}.npz") for record in ("101", "203", "215")}
    for one in outputs.values():
        assert one.probabilities.shape == (len(one.first_sample), len(NAMES))
        assert np.diff(one.first_sample).tolist() == [100] * (len(one.first_sample) - 1)
    assert not (checkpoint.load_model(out / folds.WHOLE)[0].training)
    trained = [(out / name / checkpoint.WEIGHTS).stat().st_mtime_ns for name in TWO]
    (out / "probabilities" / "215.npz").unlink()
    code, output = ecg_train(*arguments)
    assert code == 0, output.err
    assert output.err.count("already trained") == 3
    assert [(out / name / checkpoint.WEIGHTS).stat().st_mtime_ns for name in TWO] == trained
    assert np.array_equal(
        load_outputs(out / "probabilities" / "215.npz").probabilities, outputs["215"].probabilities, equal_nan=True
    )


def test_the_teachers_teach_on_all_sets_but_mitdb(root, monkeypatch):
    base, setups = root / "base", []
    monkeypatch.setattr(crossval, "FOLDS", TWO)
    monkeypatch.setattr(crossval, "_check", lambda _: None)
    monkeypatch.setattr(crossval, "_write_outputs", lambda *_: None)
    monkeypatch.setattr(crossval, "finetune", lambda *arguments, resume: setups.append((arguments[3], resume)))
    checkpoint.save_model(base, make_network(network_config("tiny", len(NAMES))), NAMES)
    setup = crossval.CrossvalSetup(root / "data", root / "fake", base, FinetuneConfig(steps=1), (base,))
    crossval.crossval(setup, lambda _: None)
    assert [one.teachers for one, _ in setups] == [(base,)] * 2
    assert all(set(one.taught_sets) == {"ptb-xl", "cinc2017"} < set(one.sets) for one, _ in setups)
    other = dataclasses.replace(setup, config=FinetuneConfig(steps=1, blend=0.5), teachers=())
    with pytest.raises(CheckpointError, match="begun with another teachers, blend"):
        crossval.crossval(other, lambda _: None)
    for damaged in ("{", "[1]", "3"):
        (root / "fake" / crossval.REPORT).write_text(damaged, encoding="utf-8")
        with pytest.raises(CheckpointError, match="not the options of a run"):
            crossval.crossval(setup, lambda _: None)


def test_networks_that_may_have_seen_mitdb_are_refused(root, ecg_train):
    small = ("--data", root / "data", "--steps", 1)
    tiny = (*small, "--batch-size", 8, "--model", "tiny")
    seen, unseen = root / "seen", root / "unseen"
    ecg_train("finetune", *tiny, "--out", seen)
    ecg_train("finetune", *tiny, "--out", unseen, "--set", "ptb-xl")
    for init, teacher in ((seen, unseen), (unseen, seen)):
        code, output = ecg_train("crossval", *small, "--init", init, "--teacher", teacher, "--out", root / "no")
        assert code == 1
        assert f"{seen}: command.txt does not show that it was trained without MIT-BIH" in output.err
