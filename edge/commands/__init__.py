"""The commands of `ecg-edge`, one file each, imported only when called, and what they share."""
