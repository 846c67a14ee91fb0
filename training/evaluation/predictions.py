"""The probabilities of a network in torch on windows."""

import numpy as np
import torch
from numpy.typing import NDArray

from ecgnat.model import Network
from training.data.cache import StretchSet
from training.data.windows import LAST_WINDOW_START


@torch.no_grad()
def probabilities(model: Network, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
    """Classify (n, 12, samples) windows with their (n, 12) keep on the model's device; (n, labels) float32."""
    device = next(model.parameters()).device
    # Leads that are not kept are set to 0, as on the device.
    kept = torch.from_numpy(keep).to(device)
    result: NDArray[np.float32] = (
        torch.sigmoid(model(torch.from_numpy(signal).to(device) * kept.unsqueeze(-1), kept)).cpu().numpy()
    )
    return result


def predict(
    model: Network,
    stretches: StretchSet,
    rows: NDArray[np.intp],
    default_start: int = LAST_WINDOW_START // 2,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Classify the labelled window of each row, (rows, labels) float32; see `StretchSet.windows` for its start."""
    parts = []
    for first in range(0, rows.size, batch_size):
        some = rows[first : first + batch_size]
        keep = stretches.keep[some].astype(np.float32)
        parts.append(probabilities(model, stretches.windows(some, default_start), keep))
    return np.concatenate(parts)
