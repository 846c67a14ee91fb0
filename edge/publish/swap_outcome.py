"""What may come of a request that another bundle take over."""

from typing import Literal, get_args

import msgspec

Final = Literal["accepted", "refused", "rolled_back"]
State = Final | Literal["proving", "on_probation"]
FINAL: tuple[Final, ...] = get_args(Final)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What has come of a request so far."""

    id: str
    state: State
    bundle: str  # its name and version, once they are known
    why: str = ""
