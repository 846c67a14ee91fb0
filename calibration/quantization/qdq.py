"""Quantize and dequantize pairs (Q/DQ) around the layers of an ONNX graph: explicit INT8 that every runtime reads.

A layer is a convolution or a matrix product with constant weights. Its activation gets a symmetric int8 pair, its
weights are stored as int8 with one scale for each output channel, its bias stays float, and every zero point is 0, as
TensorRT needs for explicitly quantized networks. Float16 holds the scales exactly, so that INT8 in an FP32 graph and in
an FP16 graph quantizes alike.
"""

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LEVELS = 127  # symmetric int8 uses -127 to 127
_SMALLEST_SCALE = 2.0**-14  # the smallest normal float16
_SCOPES = "pkg.torch.onnx.name_scopes"  # in which torch's exporter writes the module of a node
_CHANNEL_AXIS = {"Conv": 0, "MatMul": 1}  # output channels of the weights
_WEIGHTED = ("Conv", "MatMul", "Gemm")


@dataclass(frozen=True)
class Layer:
    """A node with constant weights."""

    node: str  # name of the node
    name: str  # of its module, for people
    kind: str  # Conv, MatMul or Gemm
    activation: str  # its input tensor
    weight: str  # the initializer
    weights: int


def find_layers(model: onnx.ModelProto) -> list[Layer]:
    """Return every node with constant weights, in the graph's order."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    return [
        Layer(
            node=node.name,
            name=_module(node),
            kind=node.op_type,
            activation=node.input[0],
            weight=node.input[1],
            weights=sizes[node.input[1]],
        )
        for node in model.graph.node
        if node.op_type in _WEIGHTED and node.input[1] in sizes
    ]


def products_of_activations(model: onnx.ModelProto) -> list[str]:
    """Return the names of the matrix products without constant weights, which are those of attention."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [n.name for n in model.graph.node if n.op_type == "MatMul" and not constants & set(n.input)]


def count_nodes(model: onnx.ModelProto, kinds: Collection[str]) -> dict[str, int]:
    """Count the nodes of some kinds."""
    found = [node.op_type for node in model.graph.node if node.op_type in kinds]
    return {kind: found.count(kind) for kind in sorted(set(found))}


def _module(node: onnx.NodeProto) -> str:
    for item in node.metadata_props:
        if item.key == _SCOPES:
            modules = [scope for scope in ast.literal_eval(item.value) if "." in scope]
            return str(modules[-1]) if modules else node.name
    return node.name


def scale_of(limit: float) -> float:
    """Return the scale whose 127 levels reach `limit`, rounded up to a float16 number."""
    wanted = max(limit / LEVELS, _SMALLEST_SCALE)  # an activation that is always 0 still needs a positive scale
    scale = np.float16(wanted)
    return float(scale if float(scale) >= wanted else np.nextafter(scale, np.float16(np.inf)))


def quantize_weight(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 weights and the scale of each channel along `axis`, (channels,) float32."""
    # One limit for each channel: a channel of small weights keeps its digits.
    limits = np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis))
    scales = np.array([scale_of(float(limit)) for limit in limits], np.float32)
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    levels = np.clip(np.rint(weight / scales.reshape(shape)), -LEVELS, LEVELS)
    return levels.astype(np.int8), scales


def split_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which the bias of each convolution is a separate addition.

    ONNX Runtime's CPU kernels need an int8 convolution to have no bias or one of int32. The output of the convolution
    itself is then `<output>_product`, which `insert` quantizes too.
    """
    out = _copy(model)
    tensors = {tensor.name: tensor for tensor in out.graph.initializer}
    split = {layer.node for layer in find_layers(model) if layer.kind == "Conv"}
    nodes = list(out.graph.node)
    del out.graph.node[:]
    for node in nodes:
        if node.name not in split or len(node.input) < 3:
            out.graph.node.append(node)
            continue
        result, product, bias = node.output[0], product_of(node.output[0]), f"{node.input[2]}_column"
        values = numpy_helper.to_array(tensors[node.input[2]]).reshape(-1, 1)
        out.graph.initializer.append(numpy_helper.from_array(values, bias))
        del node.input[2]
        node.output[0] = product
        out.graph.node.append(node)
        out.graph.node.append(helper.make_node("Add", [product, bias], [result], f"{node.name}_bias"))
    _drop_unused(out.graph)
    return out


def product_of(output: str) -> str:
    """Return the name of a convolution's output before its bias."""
    return f"{output}_product"


def ranged_tensors(model: onnx.ModelProto, layers: Collection[Layer]) -> list[str]:
    """Return the tensors whose ranges `insert` needs: activations, and outputs of convolutions without a bias."""
    names = {layer.node for layer in layers}
    inner = [node.output[0] for node in model.graph.node if node.name in names and _is_bare(node)]
    return list(dict.fromkeys([layer.activation for layer in layers] + inner))


def insert(model: onnx.ModelProto, layers: Collection[Layer], limits: Mapping[str, float]) -> onnx.ModelProto:
    """Return a copy of a float graph in which some of its layers are quantized.

    `limits` holds the largest absolute value to represent for each of `ranged_tensors`.
    """
    out = _copy(model)
    chosen = {layer.node: layer for layer in layers}
    tensors = {tensor.name: tensor for tensor in out.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    dequantized: dict[str, str] = {}  # by activation
    for node in out.graph.node:
        layer = chosen.get(node.name)
        if layer is not None:
            if layer.activation not in dequantized:  # layers that read the same tensor share its pair
                dequantized[layer.activation] = f"{layer.activation}_dequantized"
                _pair(out.graph, nodes, layer.activation, dequantized[layer.activation], limits)
            node.input[0] = dequantized[layer.activation]
            node.input[1] = _weight(out.graph, nodes, tensors[layer.weight], _CHANNEL_AXIS[node.op_type])
        nodes.append(node)
        if layer is not None and _is_bare(node):
            dequantized[node.output[0]] = f"{node.output[0]}_dequantized"
            _pair(out.graph, nodes, node.output[0], dequantized[node.output[0]], limits)
    # The addition of a split bias reads the quantized output of its convolution.
    for node in nodes:
        if node.op_type == "Add" and node.input[0] in dequantized and node.name.endswith("_bias"):
            node.input[0] = dequantized[node.input[0]]
    del out.graph.node[:]
    out.graph.node.extend(nodes)
    _drop_unused(out.graph)
    return out


def _is_bare(node: onnx.NodeProto) -> bool:
    return node.op_type == "Conv" and len(node.input) == 2


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.value_info[:]  # shapes of tensors that may be replaced
    return out


def _pair(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], tensor: str, result: str, limits: Mapping[str, float]
) -> None:
    scale, zero, levels = (f"{tensor}_{part}" for part in ("scale", "zero_point", "int8"))
    graph.initializer.append(numpy_helper.from_array(np.array(scale_of(limits[tensor]), np.float32), scale))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), zero))
    nodes.append(helper.make_node("QuantizeLinear", [tensor, scale, zero], [levels], f"{tensor}_quantize"))
    nodes.append(helper.make_node("DequantizeLinear", [levels, scale, zero], [result], f"{tensor}_dequantize"))


def _weight(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], tensor: onnx.TensorProto, axis: int) -> str:
    levels, scales = quantize_weight(numpy_helper.to_array(tensor).astype(np.float32), axis)
    names = [f"{tensor.name}_{part}" for part in ("int8", "scale", "zero_point")]
    zeros = np.zeros(scales.shape, np.int8)
    graph.initializer.append(numpy_helper.from_array(levels, names[0]))
    graph.initializer.append(numpy_helper.from_array(scales, names[1]))
    graph.initializer.append(numpy_helper.from_array(zeros, names[2]))
    back = f"{tensor.name}_dequantized"
    nodes.append(helper.make_node("DequantizeLinear", names, [back], f"{tensor.name}_dequantize", axis=axis))
    return back


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
