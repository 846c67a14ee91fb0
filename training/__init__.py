"""Data sets, training, evaluation, and the command line `ecg-train`."""
