"""Classifier back ends, behind one protocol: ONNX Runtime and TensorRT."""
