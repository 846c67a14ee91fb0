"""What a person may ask of an alarm. Knows nothing of how the wish travels."""

from typing import Annotated, Literal

import msgspec

MAX_SILENCE_S = 600.0


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Acknowledge: a person has seen the alarm. Silence: that, and it is not raised anew for a while."""

    command: Literal["acknowledge", "silence"]
    label: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    alarm_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None  # only if it is this one that is on
    silence_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_SILENCE_S)] = 120.0  # of the stream's time
