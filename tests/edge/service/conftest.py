"""A device id for each test, and a subscriber to it."""

import re

import pytest
from running import Watcher


@pytest.fixture
def device(request):
    return re.sub(r"[^A-Za-z0-9_-]", "-", request.node.name)[-60:]


@pytest.fixture
def watcher(broker, device):
    watcher = Watcher(broker, device)
    yield watcher
    watcher.close()
