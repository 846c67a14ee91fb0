"""Every precision of a bundle beside FP32: accuracy, time, and the gate."""
