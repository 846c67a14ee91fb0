"""The graph check: nothing for graphs that TensorRT should build, and one clear line for each kind of fault."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from calibration.export.graph import Deployed, export
from calibration.export.graph_check import OPERATORS, check_graph
from ecgnat.model import EcgNat, ModelConfig

SAMPLES = 32


def constant(name, values, kind=np.float32):
    return numpy_helper.from_array(np.array(values, kind), name)


class Draft:
    """A correctly quantized convolution, then a mean and a Gemm; each test spoils one part of it."""

    def __init__(self):
        weights = np.random.default_rng(0).integers(-127, 128, (4, 12, 3))
        self.constants = {
            tensor.name: tensor
            for tensor in (
                constant("x_scale", 0.1),
                constant("zero", 0, np.int8),
                constant("w_int8", weights, np.int8),
                constant("w_scale", [0.1, 0.2, 0.3, 0.4]),
                constant("w_zero", [0] * 4, np.int8),
                constant("bias", [0.5] * 4),
                constant("axes", [2], np.int64),
                constant("head", np.ones((2, 4))),
            )
        }
        self.nodes = {
            "quantize": helper.make_node("QuantizeLinear", ["signal", "x_scale", "zero"], ["xq"], "q"),
            "dequantize": helper.make_node("DequantizeLinear", ["xq", "x_scale", "zero"], ["x"], "dq"),
            "weights": helper.make_node("DequantizeLinear", ["w_int8", "w_scale", "w_zero"], ["w"], "dqw", axis=0),
            "conv": helper.make_node("Conv", ["x", "w", "bias"], ["y"], "conv"),
            "mean": helper.make_node("ReduceMean", ["y", "axes"], ["m"], "mean", keepdims=0),
            "gemm": helper.make_node("Gemm", ["m", "head"], ["probabilities"], "gemm", transB=1),
        }
        self.signal = ["batch", 12, SAMPLES]
        self.more_inputs = []
        self.opset = 18

    def model(self):
        inputs = [helper.make_tensor_value_info("signal", TensorProto.FLOAT, self.signal), *self.more_inputs]
        outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])]
        graph = helper.make_graph(self.nodes.values(), "draft", inputs, outputs, self.constants.values())
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def zero_point(draft):
    draft.constants["zero"] = constant("zero", 3, np.int8)


def unsigned(draft):
    draft.constants["zero"] = constant("zero", 0, np.uint8)


def no_zero_point(draft):
    del draft.nodes["quantize"].input[2], draft.nodes["dequantize"].input[2]


def another_scale(draft):
    draft.constants["other"] = constant("other", 0.2)
    draft.nodes["dequantize"].input[1] = "other"


def negative_scale(draft):
    draft.constants["x_scale"] = constant("x_scale", -0.1)


def computed_scale(draft):
    draft.more_inputs = [helper.make_tensor_value_info("x_scale", TensorProto.FLOAT, [])]
    del draft.constants["x_scale"]


def scale_for_each_channel_of_an_activation(draft):
    draft.constants["x_scale"] = constant("x_scale", [0.1] * 12)
    draft.constants["zero"] = constant("zero", [0] * 12, np.int8)


def quantized_bias(draft):
    draft.constants["bias"] = constant("bias", [5] * 4, np.int32)
    draft.constants["bias_zero"] = constant("bias_zero", [0] * 4, np.int32)
    node = helper.make_node("DequantizeLinear", ["bias", "w_scale", "bias_zero"], ["b"], "dqb", axis=0)
    draft.nodes = {"bias": node, **draft.nodes}
    draft.nodes["conv"].input[2] = "b"


def quantized_bias_added(draft):
    draft.constants["b8"] = constant("b8", [5, 5], np.int8)
    draft.nodes["bias"] = helper.make_node("DequantizeLinear", ["b8", "x_scale", "zero"], ["b"], "dqb")
    draft.nodes["gemm"].output[0] = "logits"
    draft.nodes["add"] = helper.make_node("Add", ["logits", "b"], ["probabilities"], "add")


def lone_quantize(draft):
    draft.nodes["cast"] = helper.make_node("Cast", ["xq"], ["unused"], "cast", to=TensorProto.FLOAT)


def computed_weights(draft):
    draft.nodes["conv"].input[1] = "given"
    draft.more_inputs = [helper.make_tensor_value_info("given", TensorProto.FLOAT, [4, 12, 3])]


def contrib_operator(draft):
    draft.nodes["gelu"] = helper.make_node("Gelu", ["m"], ["unused"], "gelu", domain="com.microsoft")


def undocumented_operator(draft):
    draft.nodes["det"] = helper.make_node("BitShift", ["u8", "u8"], ["unused"], "shift", direction="LEFT")
    draft.constants["u8"] = constant("u8", [1], np.uint8)


def dynamic_samples(draft):
    draft.signal = ["batch", 12, "samples"]


def computed_axes(draft):
    del draft.constants["axes"]
    draft.more_inputs = [helper.make_tensor_value_info("axes", TensorProto.INT64, [1])]


def float64(draft):
    draft.constants["unused"] = constant("unused", [1.0], np.float64)


def too_new(draft):
    draft.opset = 21


def invalid(draft):
    draft.nodes["conv"].input[0] = "nowhere"


def test_a_correct_graph_has_no_fault():
    assert check_graph(Draft().model()) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (zero_point, "QuantizeLinear q: its zero point must be 0, not 3"),
        (unsigned, "QuantizeLinear q: must quantize to int8, not uint8"),
        (no_zero_point, "QuantizeLinear q: must quantize to int8, not uint8, as it does without"),
        (another_scale, "QuantizeLinear q: DequantizeLinear dq has another scale"),
        (negative_scale, "DequantizeLinear dq: its scale must be positive"),
        (computed_scale, "QuantizeLinear q: its scale must be constant"),
        (scale_for_each_channel_of_an_activation, "QuantizeLinear q: an activation must have one scale, not 12"),
        (quantized_bias, "DequantizeLinear dqb: dequantizes int32; only int8 weights"),
        (quantized_bias_added, "Add add: input 1 is a quantized constant; only weights may be, a bias stays float"),
        (lone_quantize, "QuantizeLinear q: must be followed by DequantizeLinear, and by nothing else"),
        (computed_weights, "Conv conv: its weights must be constant"),
        (contrib_operator, "Gelu gelu: TensorRT's parser has no com.microsoft Gelu"),
        (undocumented_operator, "BitShift shift: TensorRT's parser has no ONNX BitShift"),
        (dynamic_samples, "signal: only the first dimension, the batch, may be dynamic, not ['batch', 12, 'samples']"),
        (computed_axes, "ReduceMean mean: its input 1 must be constant"),
        (float64, "constant unused: is float64"),
        (too_new, "opset 21; 9 to 19 are documented"),
        (invalid, "not valid ONNX: "),
    ],
)
def test_each_kind_of_fault_is_named(spoil, message):
    draft = Draft()
    spoil(draft)
    faults = check_graph(draft.model())
    assert [fault for fault in faults if message in fault], faults
    assert not [fault for fault in faults if "\n" in fault]


def test_inner_tensors_have_at_most_one_dynamic_dimension():
    draft = Draft()
    draft.nodes["turn"] = helper.make_node("Transpose", ["m"], ["turned"], "turn", perm=[1, 0])
    draft.nodes["inner"] = helper.make_node("MatMul", ["turned", "m"], ["inner"], "inner")
    assert check_graph(draft.model()) == []
    draft.nodes["outer"] = helper.make_node("MatMul", ["m", "turned"], ["outer"], "outer")
    (fault,) = check_graph(draft.model())
    assert fault == "tensor outer: more than the batch is dynamic: ['batch', 'batch']"


def test_the_exported_network_has_no_fault(tmp_path):
    torch.manual_seed(0)
    small = ModelConfig(
        outputs=5, dims=(8, 32, 32), depths=(1, 1, 1), residuals=(0, 1), kernels=(5, 5), dilations=(1, 1)
    )
    export(Deployed(EcgNat(small), [0, 2, 3]), 12, 256, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    assert check_graph(model) == []
    assert {node.op_type for node in model.graph.node} <= OPERATORS
