"""Finds what TensorRT would refuse or misread in an ONNX graph, without a GPU.

The operators are those of TensorRT 10.3's ONNX parser, the oldest supported version. Sources, all of
github.com/onnx/onnx-tensorrt: `docs/operators.md` of 8.5, with the additions of `docs/Changelog.md` from 8.6 to 10.3,
each also checked in `docs/operators.md` of 10.15. (The table of 10.3 itself was not available.) Operators that contain
graphs (If, Loop, Scan) are left out, since the exported graphs need none.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

MIN_OPSET = 9
MAX_OPSET = 19  # ONNX 1.14, which the parser supports from 9.0 on (docs/Changelog.md); the next update is in 10.6
_NAMES = (
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip "
    "Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout "
    "Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool "
    "GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization GRU HardSigmoid HardSwish Hardmax "
    "Identity InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LRN LSTM "
    "LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression "
    "NonZero Not OneHot Or Pad Pow PRelu QuantizeLinear RandomNormal RandomNormalLike RandomUniform RandomUniformLike "
    "Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RNN RoiAlign Round Scatter ScatterElements "
    "ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt "
    "Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor"
)
OPERATORS = frozenset(_NAMES.split())
_CONSTANT_AXES = {"Squeeze": 1, "Unsqueeze": 1, "Slice": 3, "CumSum": 1, "TopK": 1} | {
    name: 1 for name in OPERATORS if name.startswith("Reduce")
}  # operator -> the input that must be constant
_CONSTANT_WEIGHTS = frozenset({"Conv", "ConvTranspose", "Gemm"})
_WEIGHTED = _CONSTANT_WEIGHTS | {"MatMul"}


def check_graph(model: ModelProto) -> list[str]:
    """Return the faults, one line each. TensorRT 10.3 should build a graph without faults, strongly typed.

    Checked: valid ONNX of an opset that the parser knows; documented operators with constant axes; float32 inputs and
    outputs; static shapes but for the batch; Q/DQ pairs symmetric, INT8, constant, one scale a tensor for activations;
    constant weights; no quantized bias.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        return [f"not valid ONNX: {' '.join(str(exc).split())}"]
    graph = _Graph(model)
    return [*_opset_faults(model), *_operator_faults(graph), *_shape_faults(inferred), *_quantization_faults(graph)]


class _Graph:
    """A graph with its constants, and the producer and consumers of each tensor."""

    def __init__(self, model: ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.producer: dict[str, NodeProto] = {}
        self.consumers: dict[str, list[tuple[NodeProto, int]]] = defaultdict(list)  # with the number of the input
        for node in self.nodes:
            self.producer.update(dict.fromkeys(node.output, node))
            for number, name in enumerate(node.input):
                self.consumers[name].append((node, number))
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self.constants[node.output[0]] = attribute.t

    def value(self, node: NodeProto, number: int) -> NDArray[np.generic] | None:
        """Return a constant input; None if it is absent or not constant."""
        name = node.input[number] if number < len(node.input) else ""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def source(self, node: NodeProto, number: int) -> NodeProto | None:
        """Return the node that produces an input."""
        return self.producer.get(node.input[number]) if number < len(node.input) else None


def _title(node: NodeProto) -> str:
    return f"{node.op_type} {node.name or '-> ' + ', '.join(node.output)}"


def _opset_faults(model: ModelProto) -> Iterator[str]:
    for opset in model.opset_import:
        if opset.domain in {"", "ai.onnx"} and not MIN_OPSET <= opset.version <= MAX_OPSET:
            yield f"opset {opset.version}; {MIN_OPSET} to {MAX_OPSET} are documented"
    for function in model.functions:
        yield f"local function {function.name}: write its operators into the graph"


def _operator_faults(graph: _Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.domain not in {"", "ai.onnx"} or node.op_type not in OPERATORS:
            yield f"{_title(node)}: TensorRT's parser has no {node.domain or 'ONNX'} {node.op_type}"
        axes = _CONSTANT_AXES.get(node.op_type)
        if axes is not None and len(node.input) > axes and node.input[axes] and graph.value(node, axes) is None:
            yield f"{_title(node)}: its input {axes} must be constant"
        if node.op_type in {"LayerNormalization", "MaxPool", "Dropout"} and any(node.output[1:]):
            yield f"{_title(node)}: only its first output is supported"
    for name, tensor in graph.constants.items():
        if tensor.data_type == TensorProto.DOUBLE:
            yield f"constant {name}: is float64, which TensorRT narrows"


def _shape_faults(model: ModelProto) -> Iterator[str]:
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    ends = [value for value in (*graph.input, *graph.output) if value.name not in constants]
    for value in ends:
        kind = value.type.tensor_type
        if kind.elem_type != TensorProto.FLOAT:
            yield f"{value.name}: is {TensorProto.DataType.Name(kind.elem_type)}; inputs and outputs must be FLOAT"
        if not kind.HasField("shape") or any(not dim.dim_value for dim in kind.shape.dim[1:]):
            yield f"{value.name}: only the first dimension, the batch, may be dynamic, not {_shape(value)}"
    for value in graph.value_info:
        kind = value.type.tensor_type
        if not kind.HasField("shape") or sum(not dim.HasField("dim_value") for dim in kind.shape.dim) > 1:
            yield f"tensor {value.name}: more than the batch is dynamic: {_shape(value)}"


def _shape(value: ValueInfoProto) -> str:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return "of unknown rank"
    return str([dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in kind.shape.dim])


def _quantization_faults(graph: _Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.op_type == "QuantizeLinear":
            yield from _scale_faults(graph, node)
            yield from _pair_faults(graph, node)
        elif node.op_type == "DequantizeLinear":
            yield from _scale_faults(graph, node)
            yield from _dequantize_faults(graph, node)
        elif node.op_type in _CONSTANT_WEIGHTS:
            yield from _weight_faults(graph, node)


def _scale_faults(graph: _Graph, node: NodeProto) -> Iterator[str]:
    scale, zero = graph.value(node, 1), graph.value(node, 2)
    if scale is None:
        yield f"{_title(node)}: its scale must be constant"
    elif not all(0 < step < np.inf for step in scale.astype(np.float64).ravel()):
        yield f"{_title(node)}: its scale must be positive"
    if len(node.input) > 2 and node.input[2] and zero is None:
        yield f"{_title(node)}: its zero point must be constant"
    elif zero is not None and zero.any():
        yield f"{_title(node)}: its zero point must be 0, not {zero.ravel()[zero.ravel() != 0][0]}"
    kind = None if zero is None else zero.dtype
    if node.op_type == "QuantizeLinear" and kind != np.int8:
        yield f"{_title(node)}: must quantize to int8, not {kind or 'uint8, as it does without a zero point'}"


def _pair_faults(graph: _Graph, quantize: NodeProto) -> Iterator[str]:
    scale = graph.value(quantize, 1)
    consumers = [consumer for consumer, _ in graph.consumers[quantize.output[0]]]
    if not consumers or any(consumer.op_type != "DequantizeLinear" for consumer in consumers):
        yield f"{_title(quantize)}: must be followed by DequantizeLinear, and by nothing else"
    for consumer in consumers:
        other = graph.value(consumer, 1)
        if (
            consumer.op_type == "DequantizeLinear"
            and scale is not None
            and other is not None
            and not np.array_equal(scale, other)
        ):
            yield f"{_title(quantize)}: {_title(consumer)} has another scale"
    if scale is not None and scale.size > 1 and graph.value(quantize, 0) is None:
        yield f"{_title(quantize)}: an activation must have one scale, not {scale.size}"


def _dequantize_faults(graph: _Graph, node: NodeProto) -> Iterator[str]:
    stored = graph.value(node, 0)
    if stored is None:
        source = graph.source(node, 0)
        if source is None or source.op_type != "QuantizeLinear":
            yield f"{_title(node)}: dequantizes neither a constant nor the output of QuantizeLinear"
        return
    if stored.dtype != np.int8:
        yield f"{_title(node)}: dequantizes {stored.dtype}; only int8 weights are quantized, a bias stays float"
    for consumer, number in graph.consumers[node.output[0]]:
        if consumer.op_type not in _WEIGHTED or number > 1:
            yield f"{_title(consumer)}: input {number} is a quantized constant; only weights may be, a bias stays float"


def _weight_faults(graph: _Graph, node: NodeProto) -> Iterator[str]:
    source: NodeProto | None = node
    number = 1
    while source is not None and graph.value(source, number) is None:
        source = graph.source(source, number)
        number = 0
        if source is not None and source.op_type not in {"QuantizeLinear", "DequantizeLinear", "Transpose", "Cast"}:
            source = None
    if source is None:
        yield f"{_title(node)}: its weights must be constant"
