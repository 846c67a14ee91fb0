"""A small bundle, made on the fly."""

import pytest
from energy_bundle import write_bundle

from edge.bundle.manifest import load_bundle


@pytest.fixture(scope="session")
def tiny_bundle_path(tmp_path_factory):
    """Return the folder of a valid bundle; tests that change it copy it first."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundle_path):
    """Return that bundle, loaded."""
    return load_bundle(tiny_bundle_path)
