"""A float graph in its float16 form: types written into the graph, which is how TensorRT 11 takes them.

Inputs and outputs stay float32; so do LayerNorm, softmax, pooling over time and the sigmoid, between casts:
their sums and small differences are what float16 loses. Knows nothing of accuracy on ECG.
"""

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

FLOAT32_KINDS = ("LayerNormalization", "Softmax", "ReduceMean", "ReduceMax", "Sigmoid")
_OPSET = 19  # from here QuantizeLinear takes float16 (onnx.ai/onnx/operators, QuantizeLinear-19)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph, with or without quantized layers, in float16.

    Constants that float16 cannot hold, such as the mask's -1e9, become its largest number.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    half: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True, op_block_list=list(FLOAT32_KINDS))
    half.opset_import[0].version = _OPSET
    del half.graph.value_info[:]  # what the conversion left there has the old types
    _sort(half.graph)
    onnx.checker.check_model(half, full_check=True)
    return half


def _sort(graph: onnx.GraphProto) -> None:
    """Put every node behind those it reads from; the converter appends its casts at the end."""
    waiting = list(graph.node)
    known = {item.name for item in (*graph.input, *graph.initializer)} | {""}
    del graph.node[:]
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise ValueError(f"{waiting[0].name} reads what no node gives")
        graph.node.extend(ready)
        known.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not known.issuperset(node.output)]
