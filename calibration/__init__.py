"""From a checkpoint to a bundle: export, thresholds, parity gates; the only place that writes bundles."""
