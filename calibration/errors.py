"""The error that calibration raises for a user to read; its message is one line."""

from training.errors import TrainingError


class CalibrationError(TrainingError):
    """A gate was not passed, or a bundle cannot be made."""
