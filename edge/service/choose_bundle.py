"""Chooses the bundle that the service runs, and refuses one that may not run."""

import logging

from edge.bundle.manifest import Bundle
from edge.bundle.shipped import find_bundle, is_shipped
from edge.bundle.signature import check_signature
from edge.core.errors import BundleError
from edge.service.config import ServiceConfig
from edge.service.swap.store import store_of

_LOG = logging.getLogger(__name__)


def choose_bundle(config: ServiceConfig) -> Bundle:
    """Load the last good bundle of the state folder, else the configured one.

    Raises
    ------
    BundleError
        As `configured_bundle`.
    """
    store = store_of(config)
    good = None if store is None else store.last_good
    # A user who changes `model` wants that bundle, not the one that was swapped in before.
    if store is not None and good is not None and good.model == config.model:
        try:
            bundle = store.load(good.sha256)
            check_trusted(bundle, config)
        except BundleError as exc:
            _LOG.error("%s; the configured bundle %s is used instead", exc, config.model)
        else:
            return bundle
    return configured_bundle(config)


def configured_bundle(config: ServiceConfig) -> Bundle:
    """Load the bundle that a configuration names.

    Raises
    ------
    BundleError
        When there is none, it does not match its manifest, or it is not trusted.
    """
    bundle = find_bundle(config.model)
    check_trusted(bundle, config)
    return bundle


def check_trusted(bundle: Bundle, config: ServiceConfig) -> None:
    """Raise BundleError for a bundle that is neither shipped nor signed, where keys are configured."""
    if config.bundle.public_keys and not is_shipped(bundle):
        check_signature(bundle, config.bundle.public_keys)
