"""The commands of `ecg-train`, one module each."""
