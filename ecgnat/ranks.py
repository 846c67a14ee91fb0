"""Training in several processes: sums and gathers over the ranks of torch.distributed; no-ops in a single process.

Every rank holds an equal part of the batch, its loss is its share of the loss of the whole batch, and gradients are
summed. The ranks thus take the same steps as a single process with the whole batch.
"""

import atexit
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, distributed, nn

_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


def start(device: str = "cpu") -> None:
    """Join the processes of `torchrun`, with gloo on CPUs and nccl on GPUs; do nothing without torchrun.

    Each process takes the GPU of its local rank.
    """
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        # This module keeps the current group in the defaults of its functions, and optimizers import it at their first
        # step. Imported only then, it would keep the group and gloo's threads alive after `stop`, and the interpreter
        # would abort at its end. Imported now, it keeps no group.
        importlib.import_module("torch.distributed.nn.functional")
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        atexit.register(stop)


def stop() -> None:
    """Leave the process group and end gloo's threads."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Treat this process as the only one inside the block, for work that it does by itself, such as validation."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def world_size() -> int:
    """Return the number of processes."""
    if _ALONE.get():
        return 1
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process; process 0 writes the files."""
    return distributed.get_rank() if world_size() > 1 else 0


def own_part(batch: Tensor) -> Tensor:
    """Return this rank's part of the whole batch, (batch / ranks, ...).

    Raises
    ------
    ValueError
        When the batch cannot be divided evenly.
    """
    ranks = world_size()
    if batch.shape[0] % ranks:
        raise ValueError(f"a batch of {batch.shape[0]} cannot be divided among {ranks} processes")
    size = batch.shape[0] // ranks
    return batch[rank() * size : (rank() + 1) * size]


@torch.no_grad()
def total(value: Tensor) -> Tensor:
    """Sum a tensor over the ranks, without gradient."""
    if world_size() == 1:
        return value.detach()
    summed = value.detach().clone()
    distributed.all_reduce(summed)
    return summed


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        return total(value)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - as above
        return total(gradients[0])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        parts = [torch.empty_like(value) for _ in range(world_size())]
        distributed.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - as above
        # Every rank's loss depends on the whole joined tensor, so the gradients of all ranks add up.
        return own_part(total(gradients[0]))


def shared_sum(value: Tensor) -> Tensor:
    """Sum a tensor over the ranks; gradients come from all ranks."""
    if world_size() == 1:
        return value
    summed: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return summed


def gather(value: Tensor) -> Tensor:
    """Join the tensors of all ranks, (batch / ranks, ...) to (batch, ...); gradients come from all ranks."""
    if world_size() == 1:
        return value
    joined: Tensor = _Gather.apply(value)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return joined


def sum_gradients(parameters: list[nn.Parameter]) -> None:
    """Sum the gradients of all ranks in place, in one transfer."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world_size() == 1 or not gradients:
        return
    # One transfer for all gradients: its latency counts more than its size.
    flat = total(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


class SharedBatchNorm(nn.BatchNorm1d):
    """BatchNorm over the whole batch, (batch, channels, length); torch's SyncBatchNorm needs a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; in training by the statistics of the batches of all ranks."""
        if not self.training or world_size() == 1 or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        wide = x.float()  # sums of bfloat16 would lose digits
        count = wide.shape[0] * wide.shape[2] * world_size()
        mean = shared_sum(wide.sum((0, 2))) / count
        centred = wide - mean[:, None]
        variance = shared_sum(centred.square().sum((0, 2))) / count
        share = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.detach(), share)
        self.running_var.lerp_(variance.detach() * count / (count - 1), share)  # unbiased, as in torch
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        scaled = centred * (self.weight * torch.rsqrt(variance + self.eps))[:, None] + self.bias[:, None]
        return scaled.to(x.dtype)


def share_batch_norm(module: nn.Module) -> None:
    """Make every BatchNorm of a module use the whole batch; do nothing in a single process."""
    if world_size() == 1:
        return
    for part in module.modules():
        if type(part) is nn.BatchNorm1d:
            part.__class__ = SharedBatchNorm  # in place: the weights and the optimizer's references stay
