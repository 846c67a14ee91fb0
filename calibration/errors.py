"""The error that calibration raises on purpose; its text is one line, fit to be shown to a person."""

from training.errors import TrainingError


class CalibrationError(TrainingError):
    """A gate was not passed, or a bundle cannot be made from what is there."""
