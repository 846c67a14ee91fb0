"""Two real processes over gloo give the gradients of one."""

import os
import subprocess
import sys
from pathlib import Path

import torch
import two_ranks
from waiting import free_port

from ecgnat import ranks

ROOT = Path(__file__).parents[2]


def test_two_processes_have_the_gradients_of_one():
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    pair = [
        subprocess.Popen(
            [sys.executable, two_ranks.__file__],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RANK": str(rank), **common},
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=100) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs
    for output, _ in outputs:
        count, contrast, batch_norm, threads = output.split(maxsplit=3)
        assert count == "2"
        assert float(contrast) < 2e-5
        assert float(batch_norm) < 2e-5
        assert threads.strip() == "none", "left over, they abort a process that ends"


def test_one_process_alone_changes_nothing():
    value = torch.arange(6.0).view(3, 2).requires_grad_()
    assert ranks.world_size() == 1
    assert ranks.rank() == 0
    assert torch.equal(ranks.own_part(value), value)
    assert ranks.gather(value) is value
    assert ranks.shared_sum(value) is value
    assert torch.equal(ranks.total(value), value.detach())
