"""A graph that cannot be used is one clear error, and never silence."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge.beats.session import SmallGraph
from edge.core.errors import BundleError


def logarithm():
    """Return a graph that gives the logarithm of its input."""
    inputs, outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Log", ["x"], ["y"])], "log", [inputs], [outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def test_bytes_that_are_no_graph_are_refused():
    with pytest.raises(BundleError, match="cannot be loaded"):
        SmallGraph(b"no graph")


def test_an_output_that_is_not_a_number_is_refused():
    graph = SmallGraph(logarithm())
    np.testing.assert_allclose(graph.run({"x": np.ones(3, np.float32)}), 0.0)
    with pytest.raises(BundleError, match="not numbers"):
        graph.run({"x": np.full(1, -1.0, np.float32)})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BundleError, match="cannot be loaded"):
        SmallGraph(tmp_path / "beats.onnx")
