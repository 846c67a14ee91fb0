"""ONNX Runtime runs whenever TensorRT cannot, and this is reported; with stand-ins of tensorrt and pycuda."""

import sys

import numpy as np
import pytest
from waiting import wait_until

from edge.classifiers.base import ClassifierConfig
from edge.classifiers.fallback import FallbackClassifier
from edge.classifiers.opening import open_classifier
from edge.core.errors import BundleError

TENSORRT = ClassifierConfig(backend="tensorrt", max_batch=4)


@pytest.fixture
def windows(tiny_bundle):
    golden = tiny_bundle.golden()
    return golden.signal, golden.keep, golden.probabilities


def check(classifier, windows):
    signal, keep, expected = windows
    np.testing.assert_allclose(classifier.classify(signal, keep), expected, atol=1e-5)


def test_onnx_runtime_runs_while_the_engine_is_built(tiny_bundle, gpu, windows):
    reported = []
    gpu.build_may_end.clear()
    with open_classifier(tiny_bundle, TENSORRT, lambda active: reported.append(str(active))) as classifier:
        assert isinstance(classifier, FallbackClassifier)
        check(classifier, windows)
        assert gpu.runs == []
        assert reported == ["onnxruntime fp32 serves while the TensorRT engine for fp32 is built"]
        builder = classifier._builder
        gpu.build_may_end.set()
        wait_until(lambda: not builder.is_alive(), what="the engine")
        check(classifier, windows)
        assert gpu.runs == [3, 3], "the golden windows first, then ours"
        assert reported[1:] == ["tensorrt fp32"]
    reported.clear()
    with open_classifier(tiny_bundle, TENSORRT, lambda active: reported.append(str(active))) as classifier:
        check(classifier, windows)
    assert (gpu.builds, reported) == ([4], ["tensorrt fp32"]), "the second time the engine is there from the beginning"


def test_closing_stops_a_build(tiny_bundle, gpu):
    gpu.build_may_end.clear()
    classifier = open_classifier(tiny_bundle, TENSORRT)
    builder = classifier._builder
    classifier.close()
    assert not builder.is_alive()
    assert gpu.builds == []


def test_a_build_that_fails(tiny_bundle, gpu, windows):
    reported = []
    gpu.build_error = "no kernel for node conv"
    with open_classifier(tiny_bundle, TENSORRT, lambda active: reported.append(str(active))) as classifier:
        builder = classifier._builder
        wait_until(lambda: not builder.is_alive(), what="the end of the build")
        check(classifier, windows)
        check(classifier, windows)
    assert len(reported) == 2
    assert "no kernel for node conv" in reported[1]


def test_an_engine_that_fails_on_the_golden_windows(tiny_bundle, gpu, windows):
    reported = []
    gpu.bias = 0.1
    with open_classifier(tiny_bundle, TENSORRT, lambda active: reported.append(str(active))) as classifier:
        builder = classifier._builder
        wait_until(lambda: not builder.is_alive(), what="the engine")
        check(classifier, windows)
    assert "golden windows" in reported[1]


def test_a_gpu_that_fails_midway(tiny_bundle, gpu, windows):
    reported = []
    with open_classifier(tiny_bundle, ClassifierConfig(backend="tensorrt", fallback=False, max_batch=4)):
        pass
    with open_classifier(tiny_bundle, TENSORRT, lambda active: reported.append(str(active))) as classifier:
        gpu.run_error = "an illegal memory access was encountered"
        check(classifier, windows)
        assert gpu.clean, "it frees the GPU at once"
        check(classifier, windows)
    assert reported[0] == "tensorrt fp32"
    assert reported[1:] == [
        "onnxruntime fp32 serves instead of tensorrt fp32: TensorRT did not run the engine; the log has its reason"
    ]


@pytest.mark.parametrize("missing", ["tensorrt", "pycuda.driver"])
def test_without_a_library(tiny_bundle, gpu, windows, monkeypatch, missing):
    reported = []
    monkeypatch.setitem(sys.modules, missing, None)
    with open_classifier(tiny_bundle, TENSORRT, lambda active: reported.append(str(active))) as classifier:
        check(classifier, windows)
    assert "cannot be imported" in reported[0]


def test_without_a_gpu(tiny_bundle, gpu, windows):
    reported = []
    gpu.devices = 0
    with open_classifier(tiny_bundle, TENSORRT, lambda active: reported.append(str(active))) as classifier:
        check(classifier, windows)
    assert "no GPU" in reported[0]


def test_a_missing_precision_is_an_error_despite_the_fallback(tiny_bundle, gpu):
    with pytest.raises(BundleError, match="no graph of precision 'int4'"):
        open_classifier(tiny_bundle, ClassifierConfig(backend="tensorrt", precision="int4"))


def test_onnx_runtime_is_reported_as_well(tiny_bundle):
    reported = []
    with open_classifier(tiny_bundle, ClassifierConfig(), lambda active: reported.append(str(active))):
        assert reported == ["onnxruntime fp32"]
