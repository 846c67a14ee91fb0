"""Slow random signals as functions of time, so that any stretch can be made without the one before it."""

import numpy as np
from numpy.typing import NDArray


class Tones:
    """A sum of sine waves with random phases, on one or more channels.

    Many tones close together make a narrow-band signal whose amplitude and frequency wander.

    Parameters
    ----------
    hertz : (tones,) float64
    rms : (tones, channels) float64, root mean square of each tone in each channel
    rng : gives the phases
    """

    def __init__(self, hertz: NDArray[np.float64], rms: NDArray[np.float64], rng: np.random.Generator) -> None:
        phase = rng.uniform(0, 2 * np.pi, rms.shape)
        self._omega = 2 * np.pi * hertz
        self._sine = np.sqrt(2) * rms * np.cos(phase)
        self._cosine = np.sqrt(2) * rms * np.sin(phase)

    def at(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the signal at the given times (samples,) as (channels, samples) float64."""
        angle = self._omega[:, None] * time_s
        signal: NDArray[np.float64] = self._sine.T @ np.sin(angle) + self._cosine.T @ np.cos(angle)
        return signal
