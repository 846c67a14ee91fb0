"""Noise of the synthetic patient: muscles, breathing, skin and motion, at each electrode.

It is made at the nine electrodes and then taken as leads, so that Einthoven's law holds for it too.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from edge.sources.synthesis.tones import Tones

# RA, LA, LL, C1 to C6 (columns) to I, II, V1 to V6 (rows); chest leads refer to Wilson's central terminal.
_LEADS = np.zeros((8, 9))
_LEADS[0, :3] = (-1, 1, 0)
_LEADS[1, :3] = (-1, 0, 1)
_LEADS[2:, :3] = -1 / 3
_LEADS[2:, 3:] = np.eye(6)
_ELECTRODES = 9

_EMG_MV_PER_ROOT_HZ = np.array([0.6] * 3 + [0.3] * 6) / 1000  # muscles at rest: limbs, chest
_EMG_BURST_MV_PER_ROOT_HZ = 0.035  # muscles at work
_WANDER_MV = 0.030
_BREATH_MV = 0.012
_MOTION_MV = 0.32


class Noise:
    """One patient's noise; the same seed gives the same noise."""

    def __init__(self, seed: int, sample_rate_hz: float) -> None:
        rng = np.random.default_rng([seed, 3])
        self._seed = seed
        self._rate_hz = sample_rate_hz
        hertz = np.concatenate([rng.uniform(0.03, 0.35, 10), rng.normal(0.25, 0.012, 3)])
        rms = np.concatenate([np.full(10, _WANDER_MV / np.sqrt(10)), np.full(3, _BREATH_MV / np.sqrt(3))])
        strength = np.exp(rng.normal(0, 0.4, _ELECTRODES))  # some electrodes have better contact
        self._emg = _EMG_MV_PER_ROOT_HZ * np.exp(rng.normal(0, 0.4)) * strength
        self._wander = Tones(hertz, rms[:, None] * strength, rng)
        motion = np.geomspace(0.6, 9.0, 24) * rng.uniform(0.95, 1.05, 24)
        self._motion = Tones(motion, np.full((24, _ELECTRODES), _MOTION_MV / np.sqrt(24)), rng)
        self._effort = Tones(rng.uniform(0.2, 1.2, 6), np.full((6, 1), 0.5 / np.sqrt(6)), rng)

    def leads(self, cell: int, time_s: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the noise of one cell in I, II, V1 to V6 as (8, samples) float64, mV.

        Parameters
        ----------
        cell : number of the cell, which seeds its white noise
        time_s : (samples,) float64
        noise : (samples,) float64, from 0 at rest to 1, where muscle and motion make the leads unreadable
        """
        muscle = self._muscle(cell, time_s.size)
        electrodes = self._wander.at(time_s) + self._emg[:, None] * muscle
        if noise.any():
            effort = noise * np.exp(self._effort.at(time_s)[0])
            electrodes += effort * (self._motion.at(time_s) + _EMG_BURST_MV_PER_ROOT_HZ * muscle)
        leads: NDArray[np.float64] = _LEADS @ electrodes
        return leads

    def _muscle(self, cell: int, samples: int) -> NDArray[np.float64]:
        """Return noise as (electrodes, samples), of density 1 per root Hz from 20 to 80 Hz and less outside."""
        white = np.random.default_rng([self._seed, 4, cell]).standard_normal((_ELECTRODES, samples))
        hertz = fft.rfftfreq(samples, 1 / self._rate_hz)
        gain = (hertz / 20) / np.sqrt((1 + (hertz / 20) ** 2) * (1 + (hertz / 80) ** 2))
        return np.asarray(fft.irfft(fft.rfft(white) * (gain * np.sqrt(self._rate_hz / 2)), samples))
