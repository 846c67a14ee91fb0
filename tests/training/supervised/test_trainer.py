"""The supervised trainer on a toy: it learns, it resumes where it stopped, and it stops when the loss is not finite."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ecgnat.model import EcgNat, ModelConfig
from training.data.batches import BatchSampler
from training.data.cache import StretchSet
from training.data.labels import INDEX, NAMES
from training.data.training_set import TrainingSet, rarity_weights
from training.data.windows import ANYWHERE, INPUT, cut_windows
from training.errors import CheckpointError, TrainingError
from training.evaluation.predictions import predict
from training.loop import checkpoint, pictures
from training.loop.log import LOG, append_log, read_log
from training.loop.optimizing import make_optimizer, set_learning_rate
from training.loop.state import STATE
from training.supervised.trainer import FinetuneConfig, SupervisedTrainer, Teachers

TOY = ModelConfig(outputs=len(NAMES), dims=(8, 16, 16, 16), depths=(1, 1, 1, 1), head_dim=16, kernels=(5, 5, 5))


@pytest.fixture
def toy_set():
    """Windows whose only label, AF, shows as a tone."""
    random = np.random.default_rng(0)
    count = 48
    signal = random.normal(0, 0.3, (count, 12, 1000))
    target = np.zeros((count, len(NAMES)), np.uint8)
    target[::2, INDEX["AF"]] = 1
    signal[::2] += np.sin(np.arange(1000) * 0.5)
    known = np.zeros_like(target)
    known[:, INDEX["AF"]] = 1
    names = np.array([str(i) for i in range(count)])
    return StretchSet(
        "ptb-xl",
        signal.astype(np.float16),
        np.ones((count, 12), np.uint8),
        target,
        known,
        np.full(count, ANYWHERE, np.int16),
        names,
        names,
        np.zeros(count),
    )


NO_TEACHERS = Teachers()


def training_set(stretches, share=1.0):
    """All stretches train, and all validate."""
    rows = np.arange(len(stretches.record))
    return TrainingSet(stretches, rows, rows, share, rarity_weights(stretches, rows))


def make_trainer(stretches, out, teachers=NO_TEACHERS, seed=0, **changes):
    torch.manual_seed(seed)
    config = FinetuneConfig(**{"steps": 12, "batch_size": 16, "learning_rate": 5e-3} | changes)
    noise = torch.randn(4, 2000, generator=torch.Generator().manual_seed(0))
    return SupervisedTrainer(EcgNat(TOY), [training_set(stretches)], noise, config, out, teachers)


def test_it_learns_a_tone(toy_set, tmp_path):
    trainer = make_trainer(toy_set, tmp_path, steps=60, ema_decay=0.9)
    trainer.run(lambda *_: None)
    with (tmp_path / LOG).open() as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["ptb-xl.product"]) > 0.9
    assert (tmp_path / pictures.LOSS).read_bytes().startswith(b"\x89PNG")
    model, names = checkpoint.load_model(tmp_path)
    assert names == NAMES
    assert not model.training


class ConstantNetwork(torch.nn.Module):
    """Gives the same logit for every window and label."""

    def __init__(self, logit):
        super().__init__()
        self.logit = logit

    def forward(self, signal, _keep):
        return torch.full((signal.shape[0], len(NAMES)), self.logit)


def test_it_learns_the_outputs_of_the_teachers(toy_set, tmp_path):
    """The mean of two opposite teachers is a half, which a weight of 1 puts in place of every label."""
    teachers = Teachers((ConstantNetwork(50.0), ConstantNetwork(-50.0)))
    trainer = make_trainer(toy_set, tmp_path, teachers, steps=80, ema_decay=0.9, teacher_weight=1.0)
    trainer.run(lambda *_: None)
    af = predict(trainer.average.model, toy_set, np.arange(48))[:, INDEX["AF"]]
    assert np.abs(af - 0.5).max() < 0.2


def test_the_teachers_change_the_targets_of_the_taught_sets_alone(toy_set, tmp_path):
    """A teacher that always outputs a half teaches PTB-XL; the other set, at another frequency, keeps its labels."""
    other = dataclasses.replace(toy_set, name="cinc2017", signal=toy_set.signal[..., :500].repeat(2, axis=-1))
    rows = np.arange(48)
    config = FinetuneConfig(steps=80, batch_size=16, learning_rate=5e-3, ema_decay=0.9, teacher_weight=1.0)
    torch.manual_seed(0)
    noise, teachers = torch.randn(4, 2000), Teachers((ConstantNetwork(0.0),), ("ptb-xl",))
    sets = [training_set(toy_set, 0.7), training_set(other, 0.15)]
    trainer = SupervisedTrainer(EcgNat(TOY), sets, noise, config, tmp_path, teachers)
    trainer.run(lambda *_: None)
    taught, labelled = (predict(trainer.average.model, one, rows)[:, INDEX["AF"]] for one in (toy_set, other))
    assert np.abs(taught - 0.5).max() < 0.2
    assert taught[::2].mean() - taught[1::2].mean() < 0.12
    assert labelled[::2].mean() - labelled[1::2].mean() > 0.2


def test_it_resumes_where_it_stopped(toy_set, tmp_path):
    first = make_trainer(toy_set, tmp_path)
    first.run(lambda *_: None)
    second = make_trainer(toy_set, tmp_path, steps=20)
    second.resume()
    assert second.progress == first.progress
    for key, value in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[key], value), key
    moments = first.optimizer.state_dict()["state"][0], second.optimizer.state_dict()["state"][0]
    assert torch.equal(moments[0]["exp_avg_sq"], moments[1]["exp_avg_sq"])
    second.run(lambda *_: None)
    assert second.progress.step == 20
    assert len((tmp_path / LOG).read_text().splitlines()) == 3, "a header and a line a run"


@pytest.mark.parametrize(
    "changes",
    [{}, {"probe_share": 0.3, "layer_decay": 0.7, "contrastive_weight": 0.25, "blend": 0.7}],
    ids=["plain", "all options"],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(toy_set, tmp_path, changes):
    whole = make_trainer(toy_set, tmp_path / "whole", steps=20, **changes)
    whole.run(lambda *_: None)
    broken = make_trainer(toy_set, tmp_path / "broken", steps=20, **changes)
    for _ in range(9):
        broken.step()
    broken.save()
    broken.step()  # lost, with the random numbers it drew
    resumed = make_trainer(toy_set, tmp_path / "broken", seed=99, steps=20, **changes)
    resumed.resume()
    resumed.run(lambda *_: None)
    mine, theirs = load_file(tmp_path / "whole" / STATE), load_file(tmp_path / "broken" / STATE)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    kept = [load_file(tmp_path / name / checkpoint.WEIGHTS) for name in ("whole", "broken")]
    assert all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])


def test_the_weights_to_use_lie_between_the_start_and_the_average(toy_set, tmp_path):
    trainer = make_trainer(toy_set, tmp_path, blend=0.25)
    start = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    trainer.run(lambda *_: None)
    learned = trainer.average.model.state_dict()
    kept = dict(checkpoint.load_model(tmp_path)[0].named_parameters())
    assert not torch.equal(start["head.1.weight"], learned["head.1.weight"])
    for key, value in kept.items():
        assert torch.allclose(value, 0.75 * start[key] + 0.25 * learned[key], atol=1e-6), key


def test_the_log_loses_the_rows_after_the_checkpoint(toy_set, tmp_path):
    trainer = make_trainer(toy_set, tmp_path)
    for _ in range(3):
        trainer.step()
    trainer.save()
    append_log(tmp_path, {"step": 5} | {str(i): 0 for i in range(6)})
    with (tmp_path / LOG).open("a") as file:
        file.write("6,0,")  # killed while it wrote
    make_trainer(toy_set, tmp_path).resume()
    assert [row["step"] for row in read_log(tmp_path)] == [3]


def test_a_probe_moves_the_head_alone(toy_set, tmp_path):
    trainer = make_trainer(toy_set, tmp_path, probe_share=0.5)
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    for _ in range(6):
        trainer.step()
    moved = {key for key, value in trainer.model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"head.1.weight", "head.1.bias"}
    trainer.step()
    trainer.step()
    moved = {key for key, value in trainer.model.state_dict().items() if not torch.equal(value, before[key])}
    assert {"stem.0.weight", "stem.1.running_mean", "stages.2.0.mlp.0.weight"} <= moved


def test_each_phase_warms_up():
    config = FinetuneConfig(steps=100, probe_share=0.25)
    rates = [config.learning_rate_at(i / 100) for i in range(101)]
    assert rates[0] == rates[25] == 0
    assert max(rates[:25]) == max(rates[25:]) == pytest.approx(config.learning_rate)
    assert rates[24] < 0.01 * config.learning_rate


def test_lower_layers_learn_slower():
    config = dataclasses.replace(TOY, residuals=(0, 1, 0))
    named = list(EcgNat(config).named_parameters())
    optimizer = make_optimizer(named, 0.05, config, 0.5)
    scale = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    by_name = {name: scale[id(p)] for name, p in named}
    assert len(scale) == len(named)
    assert by_name["head.1.weight"] == by_name["norm.weight"] == 1
    assert by_name["stages.2.0.mlp.0.weight"] == by_name["downs.2.0.weight"] == 0.5
    assert by_name["stages.1.0.mlp.0.weight"] == 0.5**2
    assert by_name["residuals.1.0.first.0.weight"] == by_name["downs.1.0.weight"] == 0.5**3
    assert by_name["stages.0.0.attention.bias"] == 0.5**4
    assert by_name["convolutions.0.first.0.weight"] == 0.5**5
    assert by_name["stem.0.weight"] == by_name["leads.bias"] == 0.5**6
    set_learning_rate(optimizer, 1e-3)
    assert min(group["lr"] for group in optimizer.param_groups) == 1e-3 * 0.5**6


def test_it_stops_when_the_loss_is_not_finite(toy_set, tmp_path):
    trainer = make_trainer(toy_set, tmp_path)
    trainer.model.head[1].bias.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan at step 1"):
        trainer.run(lambda *_: None)


def test_resuming_nothing_is_refused(toy_set, tmp_path):
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        make_trainer(toy_set, tmp_path / "empty").resume()


def test_a_damaged_checkpoint_is_refused(toy_set, tmp_path):
    make_trainer(toy_set, tmp_path, steps=1).run(lambda *_: None)
    path = tmp_path / checkpoint.WEIGHTS
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        checkpoint.load_model(tmp_path)


def test_the_checkpoint_is_no_pickle(toy_set, tmp_path):
    make_trainer(toy_set, tmp_path, steps=1).run(lambda *_: None)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json", ".csv", ".png"}
    assert json.loads((tmp_path / checkpoint.CONFIG).read_text())["labels"] == list(NAMES)


def test_exactly_one_budget_is_given():
    with pytest.raises(TrainingError, match="either minutes or steps"):
        FinetuneConfig(minutes=1, steps=1)
    with pytest.raises(TrainingError, match="either minutes or steps"):
        FinetuneConfig()


def test_the_learning_rate_warms_up_and_ends_at_zero():
    config = FinetuneConfig(steps=100)
    rates = [config.learning_rate_at(i / 100) for i in range(101)]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(config.learning_rate)
    assert rates.index(max(rates)) == 4
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_a_window_is_cut_where_its_labels_hold(toy_set):
    """Where one window of a stretch has the labels, that one is drawn, conditioned; else any window."""

    def distance(start):
        expected = cut_windows(toy_set.signal, np.full(len(toy_set.record), start))[:, 0]
        drawn = BatchSampler([training_set(toy_set)], 16, 0).draw().signal.numpy()
        assert drawn.shape == (16, 12, INPUT.window_samples)
        return max(np.abs(expected - window[0]).max(axis=1).min() for window in drawn)

    assert distance(100) > 0.1
    toy_set.window_start[:] = 100
    assert distance(100) < 1e-5, "float32 by a matrix, against float64 by the filter"


def test_rare_labels_are_drawn_more_often(toy_set):
    toy_set.target[:] = 0
    toy_set.target[0, INDEX["VT"]] = 1
    toy_set.known[:] = 1
    sampler = BatchSampler([training_set(toy_set)], 500, 0)
    share = sampler.draw().target[:, INDEX["VT"]].mean().item()
    assert share > 1.5 / len(toy_set.record)


def test_a_batch_has_each_set_in_its_share_and_ptb_xl_first(toy_set):
    """The counts add up to the batch size, though each share alone would round to one window less."""
    others = [dataclasses.replace(toy_set, name=name) for name in ("cinc2017", "mitdb")]
    sets = [training_set(one, share) for one, share in zip([*others, toy_set], (0.15, 0.55, 0.3), strict=True)]
    sampler = BatchSampler(sets, 128, 0)
    assert sampler.draw().signal.shape[0] == 128
    assert sampler.mixable == 38
    assert sampler.rows_from({"ptb-xl"}).nonzero().flatten().tolist() == list(range(38))
    assert sampler.rows_from(None).all()
