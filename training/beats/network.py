"""The beat network: one convolutional encoder for every lead, the leads pooled, and features of the rhythm.

Input, all float32:
    snippets (batch, leads, channels, samples)   beat and template in heights of the template's QRS complex, difference
    keep     (batch, leads)                      1 where the lead counts, 0 where it is absent or bad
    features (batch, features)                   see `edge/beats/features.py`
Output: (batch, classes) logits, for one lead or more.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edge.beats.classes import CLASSES
from edge.beats.features import CHANNELS, FEATURES, LENGTH

_FEATURE_LIMIT = 5.0  # of a standardised feature
_NARROW = 16  # channels of the encoder's last convolution
_BRANCH = 64  # outputs of the features' branch
_CHANNELS = (16, 32, 48)


def _norm_relu(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm1d(width), nn.ReLU()


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1, bias=False),
            *_norm_relu(width),
            nn.Conv1d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _encoder(width: int, drop: float) -> nn.Sequential:
    """Return what maps (batch, channels, samples) of one lead to (batch, width) values that are not negative."""
    first, second, third = _CHANNELS
    return nn.Sequential(
        nn.Conv1d(CHANNELS, first, 7, stride=2, padding=3, bias=False),
        *_norm_relu(first),
        nn.Conv1d(first, second, 5, stride=2, padding=2, bias=False),
        *_norm_relu(second),
        _Residual(second),
        nn.Conv1d(second, third, 3, stride=2, padding=1, bias=False),
        *_norm_relu(third),
        _Residual(third),
        nn.Conv1d(third, _NARROW, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(drop),
        nn.Linear(_NARROW * (LENGTH // 8), width),
        nn.ReLU(),
    )


class BeatNetwork(nn.Module):
    """Classes of beats; mean and spread of the features are part of its weights.

    Parameters
    ----------
    width : values for each lead
    drop : dropout of the encoder; the other layers have twice as much
    """

    centre: Tensor  # (features,)
    spread: Tensor  # (features,)

    def __init__(self, width: int = 64, drop: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.encoder = _encoder(width, drop)
        self.register_buffer("centre", torch.zeros(FEATURES))
        self.register_buffer("spread", torch.ones(FEATURES))
        dropout = nn.Dropout(2 * drop)
        self.branch = nn.Sequential(
            nn.Linear(FEATURES, 96), nn.ReLU(), dropout, nn.Linear(96, _BRANCH), nn.ReLU(), dropout
        )
        self.branch_head = nn.Linear(_BRANCH, len(CLASSES))
        self.head = nn.Sequential(nn.Linear(2 * width + _BRANCH, 96), nn.ReLU(), dropout, nn.Linear(96, len(CLASSES)))

    def forward(self, snippets: Tensor, keep: Tensor, features: Tensor) -> Tensor:
        """Return (batch, classes) logits."""
        batch, leads = snippets.shape[0], snippets.shape[1]
        flat = snippets.reshape(batch * leads, CHANNELS, LENGTH)
        encoded = self._encode(flat, keep.reshape(-1)).reshape(batch, leads, self.width)
        kept = keep[:, :, None]
        mean = (encoded * kept).sum(1) / kept.sum(1).clamp(min=1.0)
        highest = (encoded * kept).amax(1)  # an absent lead counts as 0, which no encoded value is below
        branch = self.branch(self._standardised(features))
        logits: Tensor = self.branch_head(branch) + self.head(torch.cat([mean, highest, branch], 1))
        return logits

    def logits_of_features(self, features: Tensor) -> Tensor:
        """Return (batch, classes) logits from the features alone."""
        logits: Tensor = self.branch_head(self.branch(self._standardised(features)))
        return logits

    def _standardised(self, features: Tensor) -> Tensor:
        return ((features - self.centre) / self.spread).clamp(-_FEATURE_LIMIT, _FEATURE_LIMIT)

    def _encode(self, snippets: Tensor, keep: Tensor) -> Tensor:
        """Encode every lead; in training the kept ones alone, so that empty leads do not change the batch norms."""
        if not self.training:
            encoded: Tensor = self.encoder(snippets)
            return encoded
        rows = torch.nonzero(keep)[:, 0]
        encoded = self.encoder(snippets[rows])
        return torch.zeros(len(snippets), self.width, dtype=encoded.dtype).index_copy(0, rows, encoded)


class AveragedNetworks(nn.Module):
    """The mean of the logits of several networks, as probabilities; this is what is exported."""

    def __init__(self, networks: Sequence[BeatNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)

    def logits(self, snippets: Tensor, keep: Tensor, features: Tensor) -> Tensor:
        """Return (batch, classes) mean logits."""
        return torch.stack([member(snippets, keep, features) for member in self.members]).mean(0)

    def forward(self, snippets: Tensor, keep: Tensor, features: Tensor) -> Tensor:
        """Return (batch, classes) probabilities."""
        return torch.softmax(self.logits(snippets, keep, features), 1)


def with_difference(snippets: Tensor) -> Tensor:
    """Return (batch, leads, 3, samples) with the difference of beat and template, which the cache leaves out."""
    return torch.cat([snippets, snippets[:, :, :1] - snippets[:, :, 1:2]], 2)
