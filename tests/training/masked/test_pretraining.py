"""Pretraining on a toy: the loss falls, a killed run ends as an uninterrupted one, and two processes as one."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_pretraining
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from waiting import free_port, wait_until

from ecgnat.model import EcgNat
from training.data.batches import BatchSampler
from training.data.training_set import TrainingSet
from training.errors import CheckpointError, TrainingError
from training.loop import checkpoint, pictures
from training.loop.config import LoopConfig
from training.loop.log import read_log
from training.loop.state import STATE
from training.masked.pictures import RECONSTRUCTIONS

ROOT = Path(__file__).parents[3]
SCRIPT = toy_pretraining.__file__


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def losses(text):
    return {int(step): float(loss) for step, loss in re.findall(r"(?m)^(\d+) ([\d.e-]+)$", text)}


def same_state(one, other):
    mine, theirs = load_file(one / STATE), load_file(other / STATE)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_the_loss_falls_and_the_encoder_can_be_loaded(tmp_path):
    run = toy_pretraining.trainer(tmp_path, steps=60, ema_decay=0.9, save_every_s=1e9)
    first = run.step()
    run.run(lambda *_: None)
    row = read_log(tmp_path)[-1]
    assert row["step"] == 60
    assert row["loss"] < 0.9 * first
    assert row["validation"] < 0.9 * first
    pretrained, names = checkpoint.load_model(tmp_path)
    assert names == ()
    torch.manual_seed(1)
    fresh = EcgNat(dataclasses.replace(toy_pretraining.TOY, outputs=7, drop_path=0.1))
    head = fresh.head[1].weight.clone()
    checkpoint.copy_encoder(tmp_path, fresh)
    window, keep = torch.randn(2, 12, 500), torch.ones(2, 12)
    assert torch.equal(fresh.eval().features(window, keep), pretrained.features(window, keep))
    assert torch.equal(fresh.head[1].weight, head), "the head stays as it was drawn"
    with pytest.raises(CheckpointError, match="another shape"):
        checkpoint.copy_encoder(tmp_path, EcgNat(dataclasses.replace(toy_pretraining.TOY, dims=(8, 16, 16, 32))))


@pytest.mark.draws
def test_pictures_and_log_are_written(tmp_path):
    run = toy_pretraining.trainer(tmp_path, steps=2)
    run.run(lambda *_: None)
    for name in (pictures.LOSS, RECONSTRUCTIONS):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2]
    assert not list(tmp_path.glob("*.part"))


def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path):
    """SIGKILL may hit a step or a save; the state on disk is always complete, and the run resumes from it."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    toy_pretraining.trainer(whole, steps=14).run(lambda *_: None)
    output = (tmp_path / "output").open("w+")
    first = subprocess.Popen(
        [sys.executable, SCRIPT, broken, "14"], stdout=output, stderr=subprocess.STDOUT, env=environment()
    )
    wait_until(lambda: len(losses((tmp_path / "output").read_text())) >= 5, timeout_s=90, what="the fifth step")
    first.send_signal(signal.SIGKILL)
    assert first.wait(10) == -signal.SIGKILL
    output.close()
    rest = toy_pretraining.trainer(broken, steps=14)
    rest.resume()
    assert rest.progress.step >= 4, "it resumes, and does not start again"
    rest.run(lambda *_: None)
    assert same_state(whole, broken)
    assert [row["step"] for row in read_log(broken)] == list(range(1, 15)), "no row twice, none missing"
    figures = [[row["validation"] for row in read_log(folder)] for folder in (whole, broken)]
    assert figures[0] == figures[1]


def test_another_run_is_not_resumed(tmp_path):
    toy_pretraining.trainer(tmp_path, steps=1).run(lambda *_: None)
    with pytest.raises(CheckpointError, match="was begun with another learning_rate and seed"):
        toy_pretraining.trainer(tmp_path, steps=3, seed=5, learning_rate=1e-3).resume()
    with pytest.raises(CheckpointError, match="no usable checkpoint to resume"):
        toy_pretraining.trainer(tmp_path / "empty").resume()


def test_a_run_of_another_device_is_not_resumed(tmp_path):
    """The state of a GPU's generator has 16 bytes."""
    toy_pretraining.trainer(tmp_path, steps=1).run(lambda *_: None)
    path = tmp_path / STATE
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {"random.of.augment": torch.zeros(16, dtype=torch.uint8)}, path, metadata)
    with pytest.raises(CheckpointError, match="begun on another --device"):
        toy_pretraining.trainer(tmp_path).resume()


def test_a_damaged_state_is_refused(tmp_path):
    toy_pretraining.trainer(tmp_path, steps=1).run(lambda *_: None)
    path = tmp_path / STATE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="no usable checkpoint to resume"):
        toy_pretraining.trainer(tmp_path).resume()


def test_two_processes_take_the_steps_of_one(tmp_path):
    alone = toy_pretraining.trainer(tmp_path / "one", steps=8)
    one = {step: alone.step() for step in range(1, 9)}
    port = str(free_port())
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    pair = [
        subprocess.Popen(
            [sys.executable, SCRIPT, tmp_path / "two", "8"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(RANK=str(rank), **common),
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=100) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs
    two = losses(outputs[0][0])
    assert two.keys() == one.keys()
    assert max(abs(one[step] - two[step]) for step in one) < 1e-4


def test_windows_come_from_training_stretches():
    """Each stretch is a tone as strong as its number says."""
    tone, train = 0.1 * np.sin(np.arange(1000)), np.arange(1, 16, 2)
    signal = np.broadcast_to(np.arange(16)[:, None, None] * tone, (16, 12, 1000)).astype(np.float16)
    stretches = dataclasses.replace(toy_pretraining.toy_stretches(16), signal=signal)
    sampler = BatchSampler([TrainingSet(stretches, train, np.arange(0, 16, 2), 1.0)], 64, 0)
    signals = torch.cat([sampler.draw().signal for _ in range(10)])
    inside = signals[:, :, 100:-100]  # the filter rings at the ends
    number = inside.square().mean(dim=(1, 2)).sqrt() / (0.1 / 2**0.5)
    assert set(number.round().int().tolist()) == set(train.tolist())


def test_a_wrong_budget_is_refused():
    with pytest.raises(TrainingError, match="either minutes or steps"):
        LoopConfig()
    with pytest.raises(TrainingError, match="no window to train on"):
        BatchSampler([], 4, 0)
