"""The shape of beats: a moving dipole as a sum of Gaussians, projected on the leads.

The dipole model is that of McSharry et al. 2003 (doi 10.1109/TBME.2003.808805) in three dimensions, as in
Sameni et al. 2007 (doi 10.1155/2007/43407), with Gaussians in time. The parameters are our own, set by eye against
normal 12-lead records.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.sources.synthesis.rhythms import Beat
from edge.sources.synthesis.tones import Tones

BEFORE_S, AFTER_S = 0.30, 0.65  # extent of a beat around the R peak

# From Frank's X (to the left), Y (down) and Z (to the back) to I, II, V1 to V6: Dower, Machado & Osborne 1980,
# doi 10.1002/clc.1980.3.2.87. The other four leads follow from I and II.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

# Each row: centre and width (standard deviation) in s from the R peak, then X, Y, Z in mV.
_P = np.array([[-0.168, 0.018, 0.040, 0.080, -0.060], [-0.140, 0.020, 0.065, 0.070, 0.040]])
_QRS = np.array(
    [
        [-0.024, 0.0070, -0.12, -0.05, -0.24],  # septum
        [0.000, 0.0095, 1.05, 0.66, 0.25],  # free wall
        [0.016, 0.0100, 0.22, 0.08, 0.85],
        [0.034, 0.0090, -0.20, -0.10, 0.28],  # base
    ]
)
_T = np.array([[0.228, 0.058, 0.09, 0.05, -0.07], [0.280, 0.031, 0.19, 0.10, -0.15]])  # at a QT of 0.40 s
# An ectopic beat from the right ventricular outflow: 150 ms wide, like a left bundle branch block, axis downwards.
_ECTOPIC_QRS = np.array(
    [
        [-0.045, 0.017, 0.10, 0.22, -0.12],
        [-0.012, 0.019, 0.62, 0.95, 0.36],
        [0.034, 0.021, 0.74, 0.66, 0.80],
    ]
)
_ECTOPIC_T = np.array([[0.235, 0.060, -0.24, -0.24, -0.30], [0.295, 0.040, -0.20, -0.22, -0.22]])
_REFERENCE_QT_S = 0.40

# f-waves: mV along X, Y, Z; strongest in V1, as the right atrium lies under it.
_F_WAVE_RMS = np.array([0.018, 0.032, 0.042])


class Heart:
    """One patient's heart. Axis, amplitude and f-waves depend on the seed; the amplitude follows breathing too."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 2])
        turn = _rotation(np.radians(rng.normal(0, (5, 5, 12))))  # the axis in the frontal plane varies most
        scale = float(np.exp(rng.normal(0, 0.10)))
        self._to_leads = scale * DOWER @ turn
        self._ectopic_turn = _rotation(np.radians(rng.normal(0, 10, 3)))
        self._breath = Tones(rng.normal(0.25, 0.012, 3), np.full((3, 1), 0.03 / np.sqrt(3)), rng)
        centre = rng.uniform(5.6, 6.8)
        hertz = np.clip(rng.normal(centre, 0.55, 16), 4.2, 8.8)
        self._f_waves = Tones(hertz, np.tile(_F_WAVE_RMS / 4, (16, 1)), rng)

    def leads(
        self, time_s: NDArray[np.float64], beats: Sequence[Beat], fibrillation: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return I, II, V1 to V6 as (8, samples) float64, mV.

        Parameters
        ----------
        time_s : (samples,) float64, equally spaced
        beats : all that reach into this stretch; more do no harm
        fibrillation : (samples,) float64, 0 to 1, how strong the f-waves are
        """
        dipole = np.zeros((time_s.size, 3))
        for beat in beats:
            first, end = np.searchsorted(time_s, (beat.time_s - BEFORE_S, beat.time_s + AFTER_S))
            dipole[first:end] += self._beat(beat, time_s[first:end] - beat.time_s)
        if fibrillation.any():
            dipole += (self._f_waves.at(time_s) * fibrillation).T
        leads: NDArray[np.float64] = self._to_leads @ dipole.T * (1 + self._breath.at(time_s))
        return leads

    def _beat(self, beat: Beat, since_r_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the dipole of one beat as (samples, 3), mV."""
        stretch = np.array([beat.qt_s / _REFERENCE_QT_S] * 2 + [1.0] * 3)
        if beat.symbol == "V":
            return _gaussians(np.vstack([_ECTOPIC_QRS, _ECTOPIC_T * stretch]), since_r_s) @ self._ectopic_turn
        waves = [_P, _QRS, _T * stretch] if beat.p_wave else [_QRS, _T * stretch]
        return _gaussians(np.vstack(waves), since_r_s)


def _gaussians(waves: NDArray[np.float64], since_r_s: NDArray[np.float64]) -> NDArray[np.float64]:
    bumps = np.exp(-0.5 * ((since_r_s[:, None] - waves[:, 0]) / waves[:, 1]) ** 2)  # (samples, waves)
    dipole: NDArray[np.float64] = bumps @ waves[:, 2:]
    return dipole


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation by a vector of three angles in rad (Rodrigues' formula)."""
    angle = float(np.linalg.norm(angles))
    x, y, z = angles / max(angle, 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
