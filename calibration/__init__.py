"""From a checkpoint to a bundle: export, quantization, operating points, comparison. Nothing else writes bundles."""
