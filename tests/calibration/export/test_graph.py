"""The exported graph gives the outputs of the network."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from calibration.export import graph
from ecgnat.model import EcgNat, named_config

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = EcgNat(named_config("tiny", 7)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):  # as after training, when mean and variance are not 0 and 1
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    return model


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    deployed = graph.Deployed(network, [4, 0, 6])
    graph.export(deployed, 12, 1000, path)
    return deployed, path


def windows(count):
    random = np.random.default_rng(count)
    keep = (random.random((count, 12)) < 0.6).astype(np.float32)
    return random.normal(size=(count, 12, 1000)).astype(np.float32) * keep[:, :, None], keep


def test_folding_changes_nothing_and_outputs_are_the_chosen_ones(network, exported):
    signal, keep = windows(3)
    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(signal), torch.from_numpy(keep)))[:, [4, 0, 6]].numpy()
    assert np.abs(exported[0].probabilities(signal, keep) - expected).max() < TOLERANCE
    assert any(isinstance(m, nn.BatchNorm1d) for m in network.modules()), "the network itself is left as it was"


@pytest.mark.parametrize("count", [1, 2, 33])
def test_the_graph_equals_torch_at_any_batch_size(exported, count):
    deployed, path = exported
    here, there = graph.run_both(deployed, path, *windows(count))
    assert here.shape == there.shape == (count, 3)
    assert np.abs(here - there).max() < TOLERANCE


def test_the_network_still_runs_after_an_export(network, exported):
    """The attention's plan was once cached as tensors, and those of a trace broke the next plain call."""
    signal, keep = windows(2)
    assert np.isfinite(exported[0].probabilities(signal, keep)).all()


def test_the_graph_is_plain_onnx(exported):
    model = onnx.load(exported[1])
    onnx.checker.check_model(model, full_check=True)
    assert [entry.domain for entry in model.opset_import] == [""]
    operators = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in operators
    assert not operators & {"Loop", "If", "Scan", "Einsum"}


def test_the_graph_holds_no_paths_of_the_machine_that_made_it(exported):
    """The exporter writes a stack trace with the user's folders into each node."""
    content = exported[1].read_bytes()
    assert b".py" not in content
    assert str(Path(graph.__file__).parents[2]).encode() not in content
    assert b"network.stages.0.0.attention.qkv" in content, "which module a node comes from stays"
