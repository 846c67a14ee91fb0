"""The probabilities of a network in torch on windows."""

import numpy as np
import torch
from numpy.typing import NDArray

from ecgnat.model import Network
from training.data.cache import WindowSet
from training.data.windows import SPARE_SAMPLES


@torch.no_grad()
def answers(model: Network, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
    """Classify (n, 12, samples) windows with their (n, 12) keep on the model's device: probabilities, (n, labels)."""
    device = next(model.parameters()).device
    kept = torch.from_numpy(keep).to(device)
    said: NDArray[np.float32] = (
        torch.sigmoid(model(torch.from_numpy(signal).to(device) * kept.unsqueeze(-1), kept)).cpu().numpy()
    )
    return said


def predict(
    model: Network,
    windows: WindowSet,
    rows: NDArray[np.intp],
    place: int = SPARE_SAMPLES // 2,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Classify the window of each row that begins at `place` of its stretch: probabilities, (rows, labels) float32."""
    parts = []
    for first in range(0, rows.size, batch_size):
        some = rows[first : first + batch_size]
        keep = windows.keep[some].astype(np.float32)
        parts.append(answers(model, windows.windows(some, place), keep))
    return np.concatenate(parts)
