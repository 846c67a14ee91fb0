"""A bundle that does not match its manifest is refused in one clear line."""

import json
import shutil

import msgspec
import numpy as np
import pytest

from edge.bundle.manifest import Manifest, load_bundle, sha256_of
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.core.errors import BundleError


@pytest.fixture
def copy(tiny_bundle_path, tmp_path):
    return shutil.copytree(tiny_bundle_path, tmp_path / "copy")


def edit(folder, change):
    """Change the manifest as a dict, keeping it valid JSON."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refused(folder):
    with pytest.raises(BundleError) as caught, open_classifier(load_bundle(folder), ClassifierConfig()):
        pass
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


def test_a_good_bundle_gives_its_golden_outputs(tiny_bundle):
    golden = tiny_bundle.golden()
    with open_classifier(tiny_bundle, ClassifierConfig()) as classifier:
        np.testing.assert_allclose(classifier.classify(golden.signal, golden.keep), golden.probabilities, atol=1e-6)


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_one_flipped_bit(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert "SHA-256" in refused(copy)


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "manifest.json"])
def test_a_missing_file(copy, name):
    (copy / name).unlink()
    refused(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema_version": 1}', b"null"])
def test_bytes_that_are_no_manifest(copy, content):
    (copy / "manifest.json").write_bytes(content)
    refused(copy)


def test_a_huge_manifest_is_not_parsed(copy):
    (copy / "manifest.json").write_bytes(b" " * (2 << 20))
    assert "bytes" in refused(copy)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda m: m.update(schema_version=99), "schema version 99"),
        (lambda m: m["input"].update(sample_rate_hz=5), "sample rate"),
        (lambda m: m["input"].update(sample_rate_hz=50), "graph takes"),
        (lambda m: m["input"].update(window_s=5), "graph takes"),
        (lambda m: m["input"].update(hop_s=11), "hop"),
        (lambda m: m["input"].update(hop_s=0.505), "whole numbers of samples"),
        (lambda m: m["input"].update(units="uV"), "units"),
        (lambda m: m["input"].update(conditioning="none"), "conditioning"),
        (lambda m: m["input"].update(leads=["II", "I"]), "leads"),
        (lambda m: m["input"].update(windows=1), "windows"),
        (lambda m: m["input"].update(min_coverage=0), "min_coverage"),
        (lambda m: m["labels"].pop(), "graph takes"),
        (lambda m: m["labels"].clear(), "labels"),
        (lambda m: m["labels"].append(m["labels"][0]), "each once"),
        (lambda m: m["labels"][1].update(threshold=1.5), "AF"),
        (lambda m: m["labels"][1].update(abbreviation="A/F"), "topic"),
        (lambda m: m["graphs"].update(fp16="other.onnx"), "other.onnx"),
        (lambda m: m["graphs"].clear(), "precision"),
        (lambda m: m["files"].update({"../../etc/passwd": "0"}), "plain name"),
        (lambda m: m["pooling"].update(windows=0), "pooling"),
        (lambda m: m["pooling"].update(labels={"AF": 0}), "pooling"),
        (lambda m: m["pooling"].update(labels={"AFF": 2}), "'AFF', which is no label"),
        (lambda m: m.update(surprise=1), "surprise"),
    ],
)
def test_a_manifest_that_does_not_fit(copy, change, error):
    edit(copy, change)
    assert error in refused(copy)


def test_bytes_that_are_no_graph(copy):
    (copy / "model.onnx").write_bytes(b"not a graph")
    _update_hashes(copy)
    assert "cannot load the graph" in refused(copy)


def test_golden_outputs_that_the_graph_does_not_reproduce(copy):
    with np.load(copy / "golden.npz") as arrays:
        np.savez(copy / "golden.npz", **{**arrays, "probabilities": arrays["probabilities"] + 0.01})
    _update_hashes(copy)
    assert "golden windows" in refused(copy)


def test_a_golden_file_with_a_pickle_in_it(copy):
    np.savez(copy / "golden.npz", signal=np.array([{}], object), allow_pickle=True)
    _update_hashes(copy)
    assert "golden.npz" in refused(copy)


def test_an_unknown_precision(tiny_bundle):
    with pytest.raises(BundleError, match="it has fp32"):
        tiny_bundle.graph("int4")


def _update_hashes(folder):
    """Bring the manifest's hashes up to date."""
    edit(folder, lambda m: m.update(files={name: sha256_of(folder / name) for name in m["files"]}))


def test_every_property_of_the_manifest_is_described():
    definitions = msgspec.json.schema(Manifest)["$defs"]
    assert [name for name in definitions if name != "Manifest"]
    for definition in definitions.values():
        assert all("description" in field for field in definition["properties"].values()), definition["title"]
