"""The commands of `ecg-calibrate`, one module each."""
