"""Networks side by side, and studies: from toy data to the tables."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy_data

from ecgnat.networks import make_network, network_config
from training.data.labels import NAMES
from training.evaluation.checkpoints import accuracy, score_groups
from training.loop import checkpoint
from training.study import arms, runner
from training.study.report import table


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("studies")
    toy_data.write(root / "data")
    for seed, name in enumerate(("tiny", "resnet")):
        torch.manual_seed(seed)
        checkpoint.save_model(root / name, make_network(network_config(name, len(NAMES))), NAMES)
    return root


@pytest.fixture(autouse=True)
def _cache(root, monkeypatch):
    monkeypatch.setenv("ECG_CACHE", str(root / "cache"))


def test_networks_side_by_side(root, ecg_train):
    results = root / "RESULTS.md"
    command = ("compare", root / "tiny", root / "resnet", "--data", root / "data", "--resamples", 20)
    code, text, error = ecg_train(*command, "--threads", 1, "--results", results, "--json", root / "c.json")
    assert code == 0, error
    figures = json.loads((root / "c.json").read_text())
    assert set(figures["parts"]) == {"fold 9", "unseen patients of folds 1-8"}
    groups = figures["parts"]["fold 9"]["groups"]
    assert "delta" not in groups["all"]["tiny"]
    other = groups["all"]["resnet"]
    assert other["delta"] == pytest.approx(other["macro_auc"] - groups["all"]["tiny"]["macro_auc"])
    assert other["delta_ci95"][0] <= other["delta"] <= other["delta_ci95"][1]
    groups_again = score_groups(checkpoint.load_model(root / "tiny")[0], root / "data", "judge")
    assert len(groups_again["all"][1]) == figures["parts"]["fold 9"]["records"]
    assert "2.43 M parameters" in text
    assert text.strip() in results.read_text()
    each = figures["parts"]["fold 9"]["statements"]
    assert np.mean([aucs["resnet"] for aucs in each.values()]) == pytest.approx(other["macro_auc"])
    assert (root / "statements.png").read_bytes().startswith(b"\x89PNG")


def test_two_of_one_name_are_refused(root, ecg_train):
    code, _, error = ecg_train("compare", root / "tiny", root / "tiny", "--data", root / "data")
    assert (code, "the same folder name" in error) == (2, True)


def test_a_study_is_trained_once_and_continued(root, ecg_train, monkeypatch):
    def toys():
        pretraining = arms.Pretraining("toy", steps=1, sets=("ptb-xl",))
        yield arms.Arm("probe-random-10", 1, steps=1, labels=0.1, batch_size=4, probe_share=1.0)
        yield arms.Arm("whole-toy-10", 1, steps=1, labels=0.1, batch_size=4, pretraining=pretraining)

    monkeypatch.setitem(arms.STUDIES, "few-labels", toys)
    command = ("study", "few-labels", "--data", root / "data", "--out", root / "few", "--threads", 1)
    code, text, error = ecg_train(*command, "--results", root / "few.md")
    assert code == 0, error
    assert "| whole-toy-10 | 1 |" in text
    assert (root / "label_efficiency.png").read_bytes().startswith(b"\x89PNG")
    trained = root / "few" / "arms" / "whole-toy-10-1"
    pretrained = checkpoint.load_model(root / "few" / "pretraining" / "toy")[0].state_dict()
    assert pretrained.keys() == checkpoint.load_model(trained)[0].state_dict().keys()
    other = ("study", "few-labels", "--data", root / "data", "--out", root / "other", "--arm", "whole-*")
    assert ecg_train(*other, "--encoder", root / "few" / "pretraining" / "toy")[0] == 0
    assert not (root / "other" / "pretraining").exists(), "an encoder that is given is not pretrained again"
    monkeypatch.setattr(runner, "finetune", lambda *_, **__: pytest.fail("it was trained already"))
    code, again, _ = ecg_train(*command, "--arm", "whole-*")
    assert (code, "probe-random" in again) == (0, False)
    assert ecg_train(*command, "--arm", "none")[0] == 2
    monkeypatch.setitem(arms.STUDIES, "few-labels", lambda: (replace(arm, steps=9) for arm in toys()))
    code, _, error = ecg_train(*command)
    assert (code, "another recipe" in error) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("study", "few-labels", "--out", "x"), "a single process"),
        (("finetune", "--out", "x", "--minutes", "1"), "share no clock"),
    ],
)
def test_what_torchrun_cannot_share_is_refused(root, ecg_train, monkeypatch, arguments, reason):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, error = ecg_train(*arguments, "--data", root / "data")
    assert (code, reason in " ".join(error.replace("│", " ").split())) == (2, True), error


def test_one_encoder_cannot_replace_several(root, ecg_train):
    """The arms that compare masks would all have started from the same encoder."""
    command = ("study", "ablations", "--data", root / "data", "--out", root / "a", "--encoder", root / "tiny")
    code, _, error = ecg_train(*command, "--arm", "usual-*", "--arm", "mask-leads-*")
    assert (code, "cannot stand for leads, usual" in " ".join(error.split())) == (2, True)
    assert not (root / "a").exists()


def test_an_encoder_that_no_arm_starts_from_is_refused(root, ecg_train):
    command = ("study", "ablations", "--data", root / "data", "--out", root / "s", "--encoder", root / "tiny")
    code, _, error = ecg_train(*command, "--arm", "no-pretraining-*")
    assert (code, "no arm of ablations starts from an --encoder" in error) == (2, True)


def test_the_arms_of_a_study_differ():
    every = [arm.name for study in arms.STUDIES.values() for arm in study()]
    assert len(set(every)) == len(every)
    for study in arms.STUDIES.values():
        names = [arm.name for arm in study()]
        assert len(set(names)) == len(names) > 1
        recipes = {arm.pretraining for arm in study() if arm.pretraining}
        assert len({recipe.name for recipe in recipes}) == len(recipes)
    assert {arm.seed for arm in arms.few_labels()} == set(arms.SEEDS)


def test_the_table_shows_mean_and_spread():
    rows = [
        {"group": "g", "figures": dict.fromkeys(("all", "superdiagnostic", "rhythm", "accuracy"), v)}
        for v in (0.2, 0.4)
    ]
    assert "| g | 2 | 0.3000 ± 0.1414 |" in table(rows)


def test_accuracy_counts_yes_and_no():
    scores, target = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[1, 0], [1, 0]], np.uint8)
    assert accuracy((scores, target)) == 0.5
