"""From a checkpoint to a bundle with an FP32 graph, thresholds and a model card."""
