"""The commands of `ecg-edge`, a file each; imported only when called."""
