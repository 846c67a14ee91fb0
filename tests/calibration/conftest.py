"""Torch on one thread: the toys of these tests are too small for more, and a busy machine makes many slow."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
