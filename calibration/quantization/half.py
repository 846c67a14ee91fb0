"""Converts a float graph to float16, with the types written into the graph, as TensorRT 11 needs them.

Inputs and outputs stay float32. LayerNorm, softmax, pooling over time and the sigmoid stay float32 too, between casts:
float16 would lose their sums and small differences.
"""

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

FLOAT32_KINDS = ("LayerNormalization", "Softmax", "ReduceMean", "ReduceMax", "Sigmoid")
_OPSET = 19  # the first one whose QuantizeLinear takes float16 (onnx.ai/onnx/operators, QuantizeLinear-19)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph, with or without quantized layers, in float16.

    Constants beyond the range of float16, such as the mask's -1e9, become its largest number.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    half: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True, op_block_list=list(FLOAT32_KINDS))
    half.opset_import[0].version = _OPSET
    del half.graph.value_info[:]  # the conversion leaves the old types there
    _sort(half.graph)
    onnx.checker.check_model(half, full_check=True)
    return half


def _sort(graph: onnx.GraphProto) -> None:
    """Sort the nodes topologically, since the converter appends its casts at the end."""
    waiting = list(graph.node)
    known = {item.name for item in (*graph.input, *graph.initializer)} | {""}
    del graph.node[:]
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise ValueError(f"{waiting[0].name} reads a tensor that no node produces")
        graph.node.extend(ready)
        known.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not known.issuperset(node.output)]
