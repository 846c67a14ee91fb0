"""The states of a bundle swap."""

from typing import Literal, get_args

import msgspec

SwapResult = Literal["accepted", "refused", "rolled_back"]
SwapState = SwapResult | Literal["proving", "on_probation"]
SWAP_RESULTS: tuple[SwapResult, ...] = get_args(SwapResult)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How far the swap of a bundle has come."""

    id: str
    state: SwapState
    bundle: str  # its name and version, once they are known
    why: str = ""
