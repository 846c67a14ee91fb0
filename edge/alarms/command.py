"""The commands that a person can give to an alarm."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_SILENCE_S = 600.0


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's command to an alarm of a stream."""

    command: Annotated[
        Literal["acknowledge", "silence"],
        Meta(
            description="Acknowledge: a person has seen the alarm. Silence: "
            "the same, and it is not raised again for a while."
        ),
    ]
    label: Annotated[str, Meta(min_length=1, max_length=64, description="Label of the alarm, such as AF.")]
    alarm_id: Annotated[
        Annotated[str, Meta(max_length=64)] | None,
        Meta(description="Act only if this alarm is the one that is on. Null: any alarm of the label."),
    ] = None
    silence_s: Annotated[
        float,
        Meta(gt=0, le=MAX_SILENCE_S, description="How long the alarm is silenced, in seconds of the stream's time."),
    ] = 120.0
