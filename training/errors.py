"""The errors that training raises for a user to read.

    TrainingError
    ├── DataError        a data set is missing, incomplete or not laid out as PhysioNet does
    └── CheckpointError  a checkpoint is missing, corrupt or does not fit

Each message is one line.
"""


class TrainingError(Exception):
    """Base of all errors of training and calibration."""


class DataError(TrainingError):
    """A data set is missing, incomplete or not in PhysioNet's layout."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, corrupt or does not fit the model."""
