"""Torch on one thread, and a bundle of a small network with random weights, quantized once for all tests."""

import dataclasses

import msgspec
import pytest
import torch
import toy_data
from torch import nn

from calibration.bundle.manifest import write_manifest
from calibration.export import graph
from calibration.export.golden import write_golden
from calibration.quantization.quantizer import QuantizeSetup, quantize
from ecgnat.model import EcgNat, named_config
from edge.bundle.manifest import SCHEMA_VERSION, Manifest, Pooling, load_bundle
from training.data.labels import PRODUCT_LABELS
from training.data.windows import INPUT

SHORT = msgspec.structs.replace(INPUT, window_s=2.56)  # not the length of the shipped bundle
SPREAD = 4.0  # random logits are close together; this spreads them, so that the outputs differ


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # before each test, as a command line that a test ran may have set another number


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """Folder of toy data sets."""
    folder = tmp_path_factory.mktemp("toy") / "data"
    folder.mkdir()
    toy_data.write(folder)
    return folder


@pytest.fixture(scope="session")
def float_bundle(tmp_path_factory):
    """Folder of a bundle with an FP32 graph alone."""
    torch.manual_seed(0)
    config = dataclasses.replace(named_config("tiny", len(PRODUCT_LABELS)), depths=(1, 1, 0, 1))  # exported sooner
    model = EcgNat(config).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.2, 1.0)
        model.head[1].weight.mul_(SPREAD)
    folder = tmp_path_factory.mktemp("bundles") / "float"
    folder.mkdir()
    deployed = graph.Deployed(model, list(range(len(PRODUCT_LABELS))))
    graph.export(deployed, 12, SHORT.window_samples, folder / "model.onnx")
    write_golden(folder / "golden.npz", deployed, SHORT)
    labels = tuple(msgspec.structs.replace(label, threshold=0.9) for label in PRODUCT_LABELS)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name="toy",
        version="1",
        input=SHORT,
        pooling=Pooling("mean", windows=3),
        labels=labels,
        graphs={"fp32": "model.onnx"},
        files={},
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(scope="session")
def quantized(float_bundle, toys, tmp_path_factory):
    """Return that bundle with all four graphs."""
    out = tmp_path_factory.mktemp("bundles") / "quantized"
    quantize(QuantizeSetup(float_bundle, toys, out, None, 60, seed=5), lambda _: None, lambda *_: None)
    return load_bundle(out)
