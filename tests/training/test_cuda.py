"""A GPU gives the results of the CPU. All tests here need a GPU."""

import dataclasses

import numpy as np
import pytest
import torch
import toy_pretraining

from ecgnat.masked import MaskConfig, MaskedAutoencoder
from ecgnat.model import ModelConfig
from ecgnat.networks import make_network, network_config
from training.data.labels import NAMES
from training.data.windows import cut_windows
from training.loop.config import LoopConfig
from training.loop.log import read_log
from training.masked.trainer import MaskedTrainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
TOY = ModelConfig(outputs=1, dims=(8, 16, 16, 16), depths=(1, 1, 1, 1), head_dim=16, kernels=(5, 5, 5), drop_path=0.0)


@pytest.mark.parametrize("name", ["tiny", "small", "base", "resnet"])
def test_logits_and_gradients_are_those_of_the_cpu(name, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # convolutions round to 10 bits otherwise
    config = dataclasses.replace(network_config(name, len(NAMES)), drop_path=0.0, dropout=0.0)
    torch.manual_seed(0)
    here, signal, keep = make_network(config), torch.randn(4, 12, 512), torch.ones(4, 12)
    there = make_network(config).cuda()
    there.load_state_dict(here.state_dict())
    answers = []
    for network, device in ((here, "cpu"), (there, "cuda")):
        logits = network(signal.to(device), keep.to(device))
        logits.square().mean().backward()
        answers.append((logits.detach().cpu(), network.head[-1].weight.grad.cpu()))
    for mine, theirs in zip(*answers, strict=True):
        torch.testing.assert_close(theirs, mine, atol=1e-3, rtol=1e-3)


def test_windows_are_cut_and_conditioned_on_the_gpu():
    rows, starts = np.array([3, 1]), np.array([0, 400])
    there = toy_pretraining.toy_set(8, "cuda")
    signal = there.windows(rows, starts).signal
    assert signal.is_cuda
    np.testing.assert_allclose(signal.cpu().numpy(), cut_windows(there.stretches.signal[rows], starts), atol=1e-4)


def test_a_pretraining_runs_and_resumes_on_the_gpu(tmp_path):
    def trainer(steps):
        torch.manual_seed(1)
        model = MaskedAutoencoder(TOY, MaskConfig(decoder_dim=16)).cuda()
        config = LoopConfig(steps=steps, batch_size=16, bfloat16=False, device="cuda")
        return MaskedTrainer(model, [toy_pretraining.toy_set(32, "cuda")], config, tmp_path)

    trainer(4).run(lambda *_: None)
    second = trainer(12)
    second.resume()
    second.run(lambda *_: None)
    assert [row["step"] for row in read_log(tmp_path)] == [4, 12]
    assert read_log(tmp_path)[1]["loss"] < read_log(tmp_path)[0]["loss"]
