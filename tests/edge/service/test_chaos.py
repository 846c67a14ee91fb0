"""A short run of `scripts/chaos`: kill -9, a bad wire and an unplugged port while alerts flow."""

import shutil

import pytest
from chaos import Chaos


def test_nothing_is_lost_whatever_happens(tmp_path):
    for program in ("mosquitto", "openssl"):
        if shutil.which(program, path="/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin") is None:
            pytest.skip(f"no {program} program; install the package {program}")
    figures = Chaos(tmp_path, seed=1, fault_s=0.2).run(0)
    assert (figures.kills, sum(figures.faults.values())) == (1, 5)
    assert figures.alerts >= 8
    assert figures.left_by_kills + figures.in_commit < figures.alerts  # most had arrived by then
    assert (figures.lost, figures.unequal, figures.unbalanced) == (0, 0, 0)
    assert figures.sound
