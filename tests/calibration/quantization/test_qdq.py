"""The quantized graphs: symmetric pairs, zero points of 0, float biases, int8 weights."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from calibration.export.graph import open_graph
from calibration.held_out.windows import run_windows
from calibration.quantization import qdq
from calibration.quantization.half import to_half
from calibration.quantization.sensitivity import histograms


def load(bundle, precision):
    return onnx.load(bundle.graph(precision))


def constants(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def pairs(model, kind):
    return [node for node in model.graph.node if node.op_type == kind]


@pytest.mark.parametrize("precision", ["int8", "int8_fp16"])
def test_every_zero_point_is_0_and_int8(quantized, precision):
    model = load(quantized, precision)
    values = constants(model)
    nodes = pairs(model, "QuantizeLinear") + pairs(model, "DequantizeLinear")
    assert len(nodes) > 20
    for node in nodes:
        zero_point = values[node.input[2]]
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
        assert (values[node.input[1]] > 0).all()


@pytest.mark.parametrize("precision", ["int8", "int8_fp16"])
def test_weights_are_int8_by_channel_and_biases_float(quantized, precision):
    model = load(quantized, precision)
    values = constants(model)
    weights = [node for node in pairs(model, "DequantizeLinear") if node.input[0] in values]
    assert weights
    for node in weights:
        levels, scales = values[node.input[0]], values[node.input[1]]
        axis = next(a.i for a in node.attribute if a.name == "axis")
        assert levels.dtype == np.int8
        assert levels.min() >= -127
        assert scales.shape == (levels.shape[axis],)
    made = {node.output[0] for node in pairs(model, "DequantizeLinear")}
    for node in model.graph.node:
        if node.op_type in {"Conv", "Gemm"} and len(node.input) > 2:
            assert node.input[2] not in made
            assert values[node.input[2]].dtype.kind == "f"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8_fp16"])
def test_inputs_and_outputs_are_float32_and_nothing_names_the_machine(quantized, precision):
    model = load(quantized, precision)
    onnx.checker.check_model(model, full_check=True)
    for item in (*model.graph.input, *model.graph.output):
        assert item.type.tensor_type.elem_type == TensorProto.FLOAT
    assert [entry.domain for entry in model.opset_import] == [""]
    assert b"stack_trace" not in quantized.graph(precision).read_bytes()
    assert not re.search(rb"[\w/]{4}\.py\b", quantized.graph(precision).read_bytes())


def types_of(model):
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    known = {item.name: item.type.tensor_type.elem_type for item in inferred.graph.value_info}
    return known | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


@pytest.mark.parametrize("precision", ["fp16", "int8_fp16"])
def test_the_float16_graphs_are_float16_except_norms_and_softmax(quantized, precision):
    model = load(quantized, precision)
    types = types_of(model)
    for node in model.graph.node:
        if node.op_type in {"Conv", "MatMul", "Gemm", "Relu", "Erf"}:
            assert types[node.output[0]] == TensorProto.FLOAT16
        if node.op_type in {"LayerNormalization", "Softmax"}:
            assert types[node.output[0]] == TensorProto.FLOAT


def test_both_int8_graphs_hold_the_same_levels(quantized):
    """Float16 holds their scales exactly, so the device's decisions are those that were measured here."""
    here, there = (constants(load(quantized, precision)) for precision in ("int8", "int8_fp16"))
    levels = {name for name, value in here.items() if value.dtype == np.int8 and value.ndim > 1}
    assert levels
    for name in levels:
        assert np.array_equal(here[name], there[name])
        scale = name.replace("_int8", "_scale")
        assert np.array_equal(here[scale], there[scale].astype(np.float32))


@pytest.mark.parametrize("limit", [0.0, 1e-9, 0.37, 1.0, 1e4])
def test_a_scale_reaches_its_limit_and_fits_float16(limit):
    scale = qdq.scale_of(limit)
    assert scale * qdq.LEVELS >= limit
    assert float(np.float16(scale)) == scale
    assert scale >= 2.0**-14


def test_weights_come_back_within_half_a_level():
    weight = np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)
    weight[2] *= 100
    levels, scales = qdq.quantize_weight(weight, 0)
    assert (np.abs(levels * scales[:, None, None] - weight) <= scales[:, None, None] * 0.5001).all()


def test_splitting_biases_changes_nothing(float_bundle):
    model = onnx.load(float_bundle / "model.onnx")
    split = qdq.split_biases(model)
    assert len(split.graph.node) > len(model.graph.node)
    random = np.random.default_rng(0)
    signal, keep = random.normal(size=(4, 12, 256)).astype(np.float32), np.ones((4, 12), np.float32)
    before, after = (run_windows(open_graph(m), signal, keep) for m in (model, split))
    assert np.abs(before - after).max() < 1e-5


def test_only_the_chosen_layers_are_quantized(float_bundle):
    model = onnx.load(float_bundle / "model.onnx")
    layers = [layer for layer in qdq.find_layers(model) if layer.kind == "MatMul"][:2]
    random = np.random.default_rng(0)
    signal, keep = random.normal(size=(2, 12, 256)).astype(np.float32), np.ones((2, 12), np.float32)
    found = histograms(model, qdq.ranged_tensors(model, layers), signal, keep)
    out = qdq.insert(model, layers, {tensor: h.range("minmax") for tensor, h in found.items()})
    assert len(pairs(out, "QuantizeLinear")) == 2
    assert len(pairs(out, "DequantizeLinear")) == 4
    assert not pairs(model, "QuantizeLinear"), "the graph itself is left as it was"


def test_layers_are_named_after_their_modules(float_bundle):
    names = [layer.name for layer in qdq.find_layers(onnx.load(float_bundle / "model.onnx"))]
    assert "network.stages.0.0.attention.qkv" in names
    assert len(set(names)) == len(names)


def test_a_mask_that_float16_cannot_hold_stays_a_mask(float_bundle):
    half = constants(to_half(onnx.load(float_bundle / "model.onnx")))
    assert all(np.isfinite(value).all() for value in half.values() if value.dtype.kind == "f")
