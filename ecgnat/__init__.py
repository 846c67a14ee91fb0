"""The neighborhood-attention encoder for ECG."""
