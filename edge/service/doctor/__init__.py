"""The doctor: what `ecg-edge doctor` looks at, and what it thinks of it."""
