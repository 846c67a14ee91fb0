"""Compares what two processes of gloo compute together with one process, and whether they end cleanly.

With RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set it prints the number of processes, the largest difference of the
contrast and of BatchNorm, and the names of gloo's threads that are left.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from ecgnat import ranks
from ecgnat.losses import masked_bce, multi_label_contrast


def contrast():
    """Compare both losses and their gradients, of features of a layer, with few labels known."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 6, generator=generator)
    target = (torch.rand(12, 4, generator=generator) < 0.4).float()
    known = (torch.rand(12, 4, generator=generator) < 0.6).float()
    weights = torch.randn(4, 6, generator=generator)

    def gradient(*batch):
        layer = nn.Linear(6, 4)
        layer.weight.data.copy_(weights)
        layer.bias.data.zero_()
        x, y, sure = batch
        loss = masked_bce(layer(x), y, sure) + 0.5 * multi_label_contrast(layer(x), y, sure, 0.3)
        loss.backward()
        ranks.sum_gradients(list(layer.parameters()))
        return torch.cat([ranks.total(loss).view(1), layer.weight.grad.flatten(), layer.bias.grad])

    together = gradient(*(ranks.own_part(part) for part in (inputs, target, known)))
    with ranks.alone():
        return together - gradient(inputs, target, known)


def batch_norm():
    """Compare gradients and running statistics of a BatchNorm over both, relative to the largest value."""
    x = torch.randn(8, 3, 20, generator=torch.Generator().manual_seed(0)) * 3 + 1
    cosine = torch.cos(torch.arange(x.numel())).view_as(x)

    def walk(batch, wave):
        norm = nn.Sequential(nn.BatchNorm1d(3)).train()
        ranks.share_batch_norm(norm)
        leaf = batch.clone().requires_grad_()
        (norm(leaf) * wave).square().sum().backward()
        ranks.sum_gradients(list(norm.parameters()))
        return leaf.grad, [norm[0].weight.grad, norm[0].running_mean, norm[0].running_var]

    gradient, rest = walk(ranks.own_part(x), ranks.own_part(cosine))
    mine = ranks.own_part(torch.arange(8))
    with ranks.alone():
        expected, expected_rest = walk(x, cosine)
    pairs = [(gradient, expected[mine]), *zip(rest, expected_rest, strict=True)]
    return torch.stack([(a - b).abs().max() / b.abs().max() for a, b in pairs])


def gloo_threads():
    """Return the names of the threads of gloo that live."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def main():
    """Run as a script."""
    torch.set_num_threads(1)
    ranks.start()
    worst = [part().abs().max().item() for part in (contrast, batch_norm)]
    count = ranks.world_size()
    torch.optim.SGD([nn.Parameter(torch.zeros(1))]).step()  # the first step of any optimizer imports much of torch
    ranks.stop()
    sys.stdout.write(f"{count} {worst[0]!r} {worst[1]!r} {' '.join(gloo_threads()) or 'none'}\n")


if __name__ == "__main__":
    main()
