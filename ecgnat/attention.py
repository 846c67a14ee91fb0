"""Neighborhood attention in one dimension: every query sees its `kernel` nearest positions.

The semantics are those of natten 0.21 (Hassani et al. 2023, arXiv:2204.07143; dilation: arXiv:2209.15001). At the
borders the window shifts inward, so that every query has exactly `kernel` neighbours. An even kernel reaches one
position further to the left. With a dilation d, neighbours are positions of the same residue modulo d. Four back ends
give the same result: `block` (fast, exports to ONNX), `dense` (for short sequences), `gather` (one query at a time,
the plain twin for tests) and `natten` (its kernels, for training on CUDA; imported on first use, without a gradient on
a CPU).
"""

import functools
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Backend = Literal["block", "dense", "gather", "natten"]
_MASKED = -1e9  # added to a logit, this makes its probability exactly 0 in float32 and bfloat16
_DENSE_LENGTH = 64  # up to this length, one block of all positions is faster than several blocks


@functools.lru_cache(maxsize=256)
def neighbours(length: int, kernel: int, dilation: int = 1, causal: bool = False) -> tuple[tuple[int, ...], ...]:
    """Return, for every query of a sequence, the positions that it sees, in ascending order.

    A causal window ends at the query itself and has fewer than `kernel` positions at the start.

    Raises
    ------
    ValueError
        When the window does not fit the length.
    """
    if kernel < 1 or dilation < 1 or kernel * dilation > length:
        raise ValueError(f"kernel {kernel} and dilation {dilation} do not fit a length of {length}")
    rows = []
    for query in range(length):
        residue, index = query % dilation, query // dilation  # its index among the positions of its residue
        available = (length - residue + dilation - 1) // dilation
        if causal:
            first, last = max(index - kernel + 1, 0), index + 1
        else:  # centred, and shifted inward at the borders
            first = min(max(index - kernel // 2, 0), available - kernel)
            last = first + kernel
        rows.append(tuple(residue + dilation * k for k in range(first, last)))
    return tuple(rows)


@functools.lru_cache(maxsize=256)
def _plan(
    length: int, kernel: int, dilation: int, causal: bool, block: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Assign contiguous ranges of keys to blocks of queries.

    The result is arrays and not tensors, because it is cached: a tensor made while a graph is being traced must not be
    used after the trace.

    Returns
    -------
    keys : (blocks, width), positions of the keys of each block
    offsets : (blocks, block, width), (key - query) / dilation + kernel - 1 for neighbours and 2 * kernel - 1 for all
        other pairs; queries after the end, which pad the last block, are copies of the last query
    """
    rows = neighbours(length, kernel, dilation, causal)
    count = -(-length // block)
    queries = np.minimum(np.arange(count * block).reshape(count, block), length - 1)
    # First and last neighbour of each query, (blocks, block).
    low, high = np.array([row[0] for row in rows])[queries], np.array([row[-1] for row in rows])[queries]
    width = int((high.max(axis=1) - low.min(axis=1)).max()) + 1  # keys that the widest block needs
    keys = np.minimum(low.min(axis=1), length - width)[:, None] + np.arange(width)
    distance = keys[:, None, :] - queries[:, :, None]  # (blocks, block, width)
    neighbour = (
        (keys[:, None, :] >= low[:, :, None]) & (keys[:, None, :] <= high[:, :, None]) & (distance % dilation == 0)
    )
    return keys, np.where(neighbour, distance // dilation + kernel - 1, 2 * kernel - 1)


def neighborhood_attention(  # noqa: PLR0913 - natten's own signature, and the back end
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kernel: int,
    dilation: int = 1,
    bias: Tensor | None = None,
    *,
    causal: bool = False,
    backend: Backend = "block",
) -> Tensor:
    """Attend from every position to its neighbourhood.

    Parameters
    ----------
    q, k, v : (batch, length, heads, head_dim) float
    kernel : neighbours of a query; `kernel * dilation <= length`
    dilation : distance between neighbours
    bias : (heads, 2 * kernel - 1) float, added to the logits by offset (key - query) / dilation, from -(kernel - 1) on
    causal : attend only to the query and earlier positions
    backend : all give the same result

    Returns
    -------
    (batch, length, heads, head_dim) float

    Raises
    ------
    ValueError
        When the window does not fit the length.
    ImportError
        When the back end is natten and it is not installed.
    """
    length = int(q.shape[1])
    q = q * q.shape[-1] ** -0.5  # all back ends get scaled queries
    if backend == "gather":
        return _gather(q, k, v, neighbours(length, kernel, dilation, causal), dilation, bias)
    if backend == "natten":
        return _natten(q, k, v, kernel, dilation, bias, causal=causal)
    small = length <= _DENSE_LENGTH or backend == "dense"
    block = length if small else (16 if kernel * dilation <= 16 else 32)
    keys, offsets = (torch.from_numpy(a).to(q.device) for a in _plan(length, kernel, dilation, causal, block))
    mask = _mask(offsets, kernel, bias, q.dtype)  # (blocks, 1 or heads, block, width)
    return _blocks(q, k, v, mask, keys)


def _mask(offsets: Tensor, kernel: int, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    if bias is None:
        return torch.where(offsets == 2 * kernel - 1, _MASKED, 0.0).to(dtype).unsqueeze(1)
    table = torch.nn.functional.pad(bias, (0, 1), value=_MASKED)  # (heads, 2 * kernel)
    return table[:, offsets].to(dtype).transpose(0, 1)


def _blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, keys: Tensor) -> Tensor:
    batch, length, heads, head_dim = q.shape
    (count, width), block = keys.shape, mask.shape[2]
    if count * block > length:
        q = torch.nn.functional.pad(q, (0, 0, 0, 0, 0, count * block - length))
    q = q.reshape(batch, count, block, heads, head_dim).transpose(2, 3)  # (batch, blocks, heads, block, head_dim)
    if count > 1:  # blocks overlap in their halos, so keys are copied
        k, v = k.index_select(1, keys.flatten()), v.index_select(1, keys.flatten())
    k = k.reshape(batch, count, width, heads, head_dim).transpose(2, 3)
    v = v.reshape(batch, count, width, heads, head_dim).transpose(2, 3)
    weights = torch.softmax(q @ k.transpose(-2, -1) + mask, dim=-1)  # (batch, blocks, heads, block, width)
    out = (weights @ v).transpose(2, 3)  # (batch, blocks, block, heads, head_dim)
    return out.reshape(batch, count * block, heads, head_dim)[:, :length]


def _gather(
    q: Tensor, k: Tensor, v: Tensor, rows: tuple[tuple[int, ...], ...], dilation: int, bias: Tensor | None
) -> Tensor:
    outputs = []
    for query, row in enumerate(rows):
        index = torch.tensor(row, device=q.device)
        logits = torch.einsum("bhd,bnhd->bhn", q[:, query], k[:, index])  # (batch, heads, neighbours)
        if bias is not None:
            centre = bias.shape[1] // 2  # column of offset 0
            logits = logits + bias[:, (index - query) // dilation + centre]
        outputs.append(torch.einsum("bhn,bnhd->bhd", logits.softmax(-1), v[:, index]))
    return torch.stack(outputs, 1)


def _natten(
    q: Tensor, k: Tensor, v: Tensor, kernel: int, dilation: int, bias: Tensor | None, *, causal: bool
) -> Tensor:
    """Call natten's kernel. It has no bias, so the bias becomes more channels of queries and keys."""
    from natten.functional import na1d

    if kernel == 1:
        return v  # natten needs two neighbours; the softmax over one is 1
    head_dim = v.shape[-1]
    if bias is not None:
        for_query, for_key = _bias_as_channels(bias, q.shape[1], kernel, dilation)
        q = torch.cat([q, for_query.to(q.dtype).expand(q.shape[0], -1, -1, -1)], dim=-1)
        k = torch.cat([k, for_key.to(k.dtype).expand(*k.shape[:3], -1)], dim=-1)
    width = max(8, 1 << (q.shape[-1] - 1).bit_length())  # natten needs a power of two
    q, k, v = (torch.nn.functional.pad(x, (0, width - x.shape[-1])) for x in (q, k, v))
    out: Tensor = na1d(q, k, v, kernel_size=kernel, dilation=dilation, is_causal=causal, scale=1.0)
    return out[..., :head_dim]


def _bias_as_channels(bias: Tensor, length: int, kernel: int, dilation: int) -> tuple[Tensor, Tensor]:
    """Write a relative bias as a product of channels of queries and channels of keys.

    Offsets stay within one period of 2 * kernel - 1, so the bias equals its Fourier series. By the addition theorems,
    cos(w (key - query)) and sin(w (key - query)) are sums of products of one factor of the key and one of the query.
    The mean of the series is left out, because it does not change the softmax.

    Returns
    -------
    for queries (length, heads, 2 * kernel - 2), for keys (length, 1, 2 * kernel - 2)
    """
    period = 2 * kernel - 1
    series = torch.fft.rfft(torch.roll(bias.float(), -(kernel - 1), dims=1))[:, 1:]  # (heads, kernel - 1)
    positions = torch.arange(length, device=bias.device) // dilation
    frequencies = torch.arange(1, kernel, device=bias.device)
    angle = 2 * torch.pi / period * (positions[:, None] * frequencies % period)
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]  # (length, 1, kernel - 1)
    for_query = torch.cat([series.real * cosine + series.imag * sine, series.real * sine - series.imag * cosine], -1)
    return for_query * 2 / period, torch.cat([cosine, sine], -1)
