"""The TensorRT back end against stand-ins of tensorrt and pycuda: batches, buffers, cache, errors, teardown.

The stand-ins cannot show that a real GPU does the same. Nothing here has run on one.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from edge.bundle.manifest import load_bundle, sha256_of
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.classifiers.tensorrt_runtime import TensorRtClassifier, engine_key, memory_used
from edge.commands.build import build
from edge.core.errors import BundleError

TENSORRT = ClassifierConfig(backend="tensorrt", fallback=False, max_batch=4)


@pytest.fixture
def windows():
    generator = np.random.default_rng(1)
    keep = (generator.random((11, 12)) < 0.8).astype(np.float32)
    keep[:, 1] = 1
    return (generator.standard_normal((11, 12, 1000)) * 0.3 * keep[:, :, None]).astype(np.float32), keep


def change_graph(bundle_path, folder, change):
    """Copy a bundle, change its graph, and update the manifest."""
    shutil.copytree(bundle_path, folder)
    model = onnx.load(folder / "model.onnx")
    change(model.graph)
    onnx.save(model, folder / "model.onnx")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["model.onnx"] = sha256_of(folder / "model.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return load_bundle(folder)


def test_it_equals_onnx_runtime_for_any_number_of_windows(tiny_bundle, gpu, windows):
    signal, keep = windows
    with open_classifier(tiny_bundle, ClassifierConfig()) as plain, open_classifier(tiny_bundle, TENSORRT) as fast:
        for rows in (11, 1, 4, 3, 5, 1):
            expected = plain.classify(signal[:rows], keep[:rows])
            np.testing.assert_allclose(fast.classify(signal[:rows], keep[:rows]), expected, atol=1e-6)
    assert gpu.runs[-9:] == [4, 4, 3, 1, 4, 3, 4, 1, 1], "a batch larger than the profile runs in pieces"


def test_a_result_stays_when_the_next_one_is_made(tiny_bundle, gpu, windows):
    signal, keep = windows
    with open_classifier(tiny_bundle, TENSORRT) as fast:
        first = fast.classify(signal[:2], keep[:2])
        before = first.copy()
        fast.classify(-2 * signal[2:4], keep[2:4])
    np.testing.assert_array_equal(first, before)


def test_everything_is_freed_in_order(tiny_bundle, gpu):
    with open_classifier(tiny_bundle, TENSORRT) as fast:
        assert (len(gpu.memory), gpu.contexts) == (3, 1)
        fast.close()
        fast.close()
        with pytest.raises(BundleError, match="closed"):
            fast.classify(np.zeros((1, 12, 1000), np.float32), np.ones((1, 12), np.float32))
    assert gpu.freed == ["context", "engine", "runtime"]
    assert gpu.clean


def test_an_engine_is_built_again_only_when_its_key_changes(tiny_bundle, tiny_bundle_path, gpu, tmp_path, monkeypatch):
    def opened(bundle=tiny_bundle, **changes):
        config = ClassifierConfig(backend="tensorrt", fallback=False, **{"max_batch": 4, **changes})
        with gpu.installed(monkeypatch), open_classifier(bundle, config):
            return len(gpu.builds)

    assert opened() == 1
    assert opened() == 1
    assert opened(max_batch=8) == 2
    assert opened() == 3
    gpu.name = "Thor"
    assert opened() == 4
    gpu.capability = (11, 0)
    assert opened() == 5
    gpu.tensorrt = "11.4.0.106"
    assert opened() == 6

    def rename(graph):
        graph.name = "another"

    assert opened(change_graph(tiny_bundle_path, tmp_path / "changed", rename)) == 7
    assert gpu.builds == [4, 8, 4, 4, 4, 4, 4]


def test_the_timing_cache_is_used_again_but_not_on_another_device(tiny_bundle, gpu, engines):
    for max_batch in (2, 3):
        with open_classifier(tiny_bundle, ClassifierConfig(backend="tensorrt", fallback=False, max_batch=max_batch)):
            pass
    assert gpu.timing_caches == [b"", b"timings of Orin"]
    next(engines.glob("*.timing")).write_bytes(b"timings of Thor")
    with open_classifier(tiny_bundle, ClassifierConfig(backend="tensorrt", fallback=False, max_batch=5)):
        pass
    assert gpu.timing_caches[2:] == [b"timings of Thor", b""]


def test_a_node_that_the_parser_does_not_know_is_named(tiny_bundle_path, gpu, tmp_path):
    def make_unknown(graph):
        graph.node[2].op_type, graph.node[2].name = "Erfinv", "encoder/norm"

    bundle = change_graph(tiny_bundle_path, tmp_path / "odd", make_unknown)
    with pytest.raises(BundleError, match=r"node encoder/norm \(Erfinv\): Plugin not found") as caught:
        open_classifier(bundle, TENSORRT)
    assert "\n" not in str(caught.value)


def test_a_failed_build_gives_its_reason_and_leaves_no_engine(tiny_bundle, gpu, engines):
    gpu.build_error = "could not find any implementation for node conv"
    with pytest.raises(BundleError, match="could not find any implementation"):
        open_classifier(tiny_bundle, TENSORRT)
    assert not list(engines.iterdir())


def test_an_engine_with_other_outputs_is_not_used(tiny_bundle, gpu):
    gpu.bias = 0.01
    with pytest.raises(BundleError, match="golden windows"):
        open_classifier(tiny_bundle, TENSORRT)


def test_the_bundle_may_set_the_tolerance_of_a_precision(tiny_bundle, gpu):
    gpu.bias = 0.01
    manifest = msgspec.structs.replace(tiny_bundle.manifest, golden_tolerances={"fp32": 0.02, "int8": 0.001})
    with open_classifier(msgspec.structs.replace(tiny_bundle, manifest=manifest), TENSORRT) as fast:
        assert fast.classify(np.zeros((1, 12, 1000), np.float32), np.ones((1, 12), np.float32)).shape == (1, 4)


@pytest.mark.parametrize("change", [{"free_bytes": 1000}, {"run_error": "x"}])
def test_a_failing_gpu_is_one_clear_error(tiny_bundle, gpu, change):
    vars(gpu).update(change)
    with pytest.raises(BundleError, match=r"no memory for the engine|did not run the engine"):
        open_classifier(tiny_bundle, TENSORRT)


def test_an_engine_with_other_tensors_or_batches_is_refused(tiny_bundle, tiny_bundle_path, gpu, tmp_path):
    def shorten(graph):
        graph.input[0].type.tensor_type.shape.dim[2].dim_value = 500

    other = change_graph(tiny_bundle_path, tmp_path / "short", shorten)
    with pytest.raises(BundleError, match="500"):
        open_classifier(other, TENSORRT)
    with open_classifier(tiny_bundle, TENSORRT):
        pass
    key = engine_key(tiny_bundle, "fp32", 4)
    from edge.classifiers.engine_cache import EngineCache, default_folder

    engine = EngineCache(default_folder()).find("tiny", key)
    with pytest.raises(BundleError, match="batches of 1 to 4"):
        TensorRtClassifier(tiny_bundle, engine, 5)


def test_without_a_gpu(tiny_bundle, gpu):
    gpu.devices = 0
    with pytest.raises(BundleError, match="no GPU: CUDA says cuInit failed"):
        open_classifier(tiny_bundle, TENSORRT)


@pytest.mark.parametrize("missing", ["tensorrt", "pycuda.driver"])
def test_without_a_library(tiny_bundle, gpu, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BundleError, match=f"(?i){missing.split('.')[0]} cannot be imported.*how-to/jetson") as caught:
        open_classifier(tiny_bundle, TENSORRT)
    assert "\n" not in str(caught.value)


def test_tensorrt_that_finds_no_cuda(tiny_bundle, gpu):
    """Without a driver the real bindings raise TypeError, because the library returns nothing."""
    from edge.classifiers import tensorrt_engine

    gpu.devices = 0
    with pytest.raises(BundleError, match=r"TensorRT 10\.3\.0 cannot begin here"):
        tensorrt_engine.build(tiny_bundle.graph("fp32"), 1, b"", lambda *_: True)


def test_memory_is_read_in_a_context_of_its_own(gpu):
    assert memory_used() == (1 << 31) - (1 << 30)


def test_the_build_command_reports(tiny_bundle_path, gpu, engines, tmp_path):
    out = tmp_path / "engine.json"
    arguments = ["--model", str(tiny_bundle_path), "--max-batch", "8", "--json", str(out)]
    first = CliRunner().invoke(build, arguments, catch_exceptions=False)
    report = json.loads(out.read_bytes())
    assert first.exit_code == 0
    assert "built in" in first.output
    assert report["built"] is True
    assert report["key"]["gpu"] == {"name": "Orin", "compute_capability": "8.7"}
    assert report["golden_worst"] < 1e-6
    assert report["latency_ms"].keys() == {"b1", "b8"}
    assert Path(report["path"]).parent == engines
    again = CliRunner().invoke(build, [*arguments[:-1], "-"], catch_exceptions=False)
    assert json.loads(again.stdout)["built"] is False
    assert gpu.builds == [8]


def test_the_build_command_without_tensorrt_is_one_clear_line(tiny_bundle_path):
    program = Path(sys.executable).with_name("ecg-edge")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [program, "build", "--model", tiny_bundle_path], capture_output=True, text=True, timeout=60, env=environment
    )
    if done.returncode == 0:
        pytest.skip("this machine has TensorRT and a GPU")
    assert done.returncode == 1
    assert done.stderr.startswith("ecg-edge: ")
    assert done.stderr.count("\n") == 1
