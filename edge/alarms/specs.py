"""Which alarms a bundle and a configuration ask for. Knows nothing of streams."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from edge.alarms.machine import AlarmSpec
from edge.bundle import LABEL_IN_TOPIC, Label, Priority
from edge.errors import ConfigError
from edge.samples import Cause

TECHNICAL = (
    AlarmSpec(
        label="LEAD_OFF",
        name="Electrode off",
        kind="technical",
        priority="medium",
        causes=frozenset({Cause.LEAD_OFF}),
        on_delay_s=5.0,
        off_delay_s=2.0,
    ),
    AlarmSpec(
        label="POOR_SIGNAL",
        name="Signal too poor to judge",
        kind="technical",
        priority="low",
        causes=frozenset({Cause.BAD_QUALITY, Cause.INVALID, Cause.CRC}),
        on_delay_s=10.0,
        off_delay_s=2.0,
    ),
    AlarmSpec(
        label="NO_DATA",
        name="Samples do not arrive",
        kind="technical",
        priority="medium",
        causes=frozenset({Cause.SEQUENCE_GAP, Cause.SILENT, Cause.OVERRUN, Cause.LATE, Cause.SHED}),
        on_delay_s=5.0,
        off_delay_s=2.0,
    ),
)
"""Alarms about the signal itself; every window is evidence for them. Short losses stay below the on delay."""


class AlarmOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a configuration changes about one alarm; None keeps the bundle's value."""

    threshold: float | None = None
    on_delay_s: float | None = None
    off_delay_s: float | None = None
    priority: Priority | None = None
    latch: bool | None = None


def alarm_specs(labels: Sequence[Label], overrides: Mapping[str, AlarmOverride] | None = None) -> tuple[AlarmSpec, ...]:
    """Return the specs of the model's labels and of the technical alarms, with a configuration's changes.

    Raises
    ------
    ConfigError
        When an override names no alarm, or gives it a value that it cannot have.
    """
    model = [
        AlarmSpec(
            label=label.abbreviation,
            name=label.name,
            snomed=label.snomed,
            kind=label.kind,
            priority=label.priority,
            output=output,
            threshold=label.threshold,
            on_delay_s=label.on_delay_s,
            off_delay_s=label.off_delay_s,
            latch=label.latch,
        )
        for output, label in enumerate(labels)
    ]
    specs = {spec.label: spec for spec in (*TECHNICAL, *model)}
    if len(specs) < len(TECHNICAL) + len(model):
        raise ConfigError(f"the bundle's labels must be unique and none of {', '.join(s.label for s in TECHNICAL)}")
    for name, override in (overrides or {}).items():
        if name not in specs:
            near = difflib.get_close_matches(name.upper(), specs, n=1, cutoff=0.0)[0]
            raise ConfigError(f"no alarm named {name!r}; did you mean {near!r}?")
        specs[name] = _override(specs[name], override)
    return tuple(specs.values())


def _override(spec: AlarmSpec, override: AlarmOverride) -> AlarmSpec:
    changes = {key: value for key, value in msgspec.structs.asdict(override).items() if value is not None}
    if changes.get("priority", "none") != "none" and not LABEL_IN_TOPIC.fullmatch(spec.label):
        raise ConfigError(f"alarm {spec.label}: it cannot be raised, as its label cannot stand in a topic")
    threshold = changes.get("threshold")
    if threshold is not None and spec.output is None:
        raise ConfigError(f"alarm {spec.label}: it has no threshold, the model does not drive it")
    if threshold is not None and not 0 < threshold <= 1:
        raise ConfigError(f"alarm {spec.label}: threshold {threshold} is not in (0, 1]")
    for key in ("on_delay_s", "off_delay_s"):
        if not 0 <= changes.get(key, 0.0) <= 3600:
            raise ConfigError(f"alarm {spec.label}: {key} {changes[key]} is not in 0 to 3600")
    return replace(spec, **changes)
