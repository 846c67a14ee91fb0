"""The alarms that a bundle, the beats and the device itself can raise, with the changes of a configuration."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edge.alarms.track import AlarmSpec
from edge.beats.rules import RULES, Limits, Rule
from edge.bundle.manifest import LABEL_IN_TOPIC, Label, Manifest, Priority
from edge.core.errors import ConfigError
from edge.core.samples import Cause

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
        by_gates=True,
        on_delay_s=5.0,
        off_delay_s=10.0,
    ),
    AlarmSpec(
        label="NO_DATA",
        name="Samples do not arrive",
        kind="technical",
        priority="medium",
        causes=frozenset({Cause.SEQUENCE_GAP, Cause.SILENT, Cause.OVERRUN, Cause.LATE}),
        on_delay_s=5.0,
        off_delay_s=2.0,
    ),
    AlarmSpec(
        label="OVERLOAD",
        name="Device overloaded, windows left out",
        kind="technical",
        priority="medium",
        causes=frozenset({Cause.SHED}),
        overload=True,
        on_delay_s=5.0,
        off_delay_s=10.0,
    ),
    AlarmSpec(
        label="ALARM_STORM",
        name="Too many alarms",
        kind="technical",
        priority="medium",
        storm_limit=10,
        off_delay_s=30.0,
    ),
)
"""Alarms about the signal, the device and the alarms themselves.

Every window, good or bad, is evidence for them; the on delays keep short losses from raising one. POOR_SIGNAL covers
both bad quality and the model's noise, since these alternate from second to second while the signal is poor. For the
same reason it ends only after ten good seconds.
"""

BEATS = (
    AlarmSpec(
        label="ASYSTOLE",
        name="asystole",
        snomed="397829000",
        priority="high",
        pause_s=4.0,
        off_delay_s=2.0,
    ),
    AlarmSpec(
        label="EXTREME_BRADY",
        name="extreme bradycardia",
        snomed="426627000",
        priority="high",
        below_bpm=40.0,
        off_delay_s=5.0,
    ),
    AlarmSpec(
        label="EXTREME_TACHY",
        name="extreme tachycardia",
        snomed="3424008",
        priority="high",
        above_bpm=140.0,
        on_delay_s=5.0,
        off_delay_s=5.0,
    ),
)
"""Alarms of the heart beats; they need no network.

Limits after G. D. Clifford et al., The PhysioNet/Computing in Cardiology Challenge 2015: no beat for 4 s; below 40 a
minute for 5 beats; above 140 a minute for 17 beats. Here those 17 beats are the five intervals that the rate is taken
over and an on delay of five seconds.
"""

_NAMES = {  # and SNOMED CT concepts, most as in the PhysioNet/CinC Challenges 2020 and 2021
    "VF": ("ventricular fibrillation or flutter", "164896001"),
    "VT": ("ventricular tachycardia", "164895002"),
    "NSVT": ("short run of ventricular beats", "444658006"),
    "PAUSE": ("pause", None),
    "AIVR": ("accelerated idioventricular rhythm", "61277005"),
    "SVT": ("supraventricular tachycardia", "426761007"),
    "BIGEMINY": ("ventricular bigeminy", "11157007"),
    "TRIGEMINY": ("ventricular trigeminy", "251180001"),
    "R_ON_T": ("ventricular beat on the T wave", None),
    "COUPLET": ("ventricular couplet", None),
    "PVC": ("premature ventricular contraction", "427172004"),
    "PAC": ("premature atrial contraction", "284470004"),
}
_OFF_DELAY_S = 5.0  # of rhythms: a few other beats do not end an alarm


def _rhythm(rule: Rule) -> AlarmSpec:
    """Return the alarm of a rule. ASYSTOLE and the extreme rates keep the limits that a configuration may change."""
    plain = next((spec for spec in BEATS if spec.label == rule.label), None)
    if plain is None:
        name, snomed = _NAMES[rule.label]
        plain = AlarmSpec(label=rule.label, name=name, snomed=snomed)
    return replace(plain, priority=rule.priority, rhythm=True, on_delay_s=0.0, off_delay_s=_OFF_DELAY_S)


RHYTHMS = tuple(_rhythm(rule) for rule in RULES)
"""Alarms of the rules on classified beats, for bundles with a beat network. They replace those of `BEATS`."""

_BEAT_LIMITS = {"pause_s": (2.0, 30.0), "below_bpm": (15.0, 80.0), "above_bpm": (60.0, 300.0)}  # lowest and highest


class AlarmOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to one alarm. Keys that are not set keep the bundle's values."""

    threshold: Annotated[
        float | None,
        Meta(
            description="Probability at which the alarm's condition begins. "
            "Above 0, 1 at most. Only for alarms of the model."
        ),
    ] = None
    clear_threshold: Annotated[
        float | None, Meta(description="Probability below which the condition ends. Not above the threshold.")
    ] = None
    on_delay_s: Annotated[
        float | None, Meta(description="How long the condition must hold before the alarm is raised. 0 to 3600 s.")
    ] = None
    off_delay_s: Annotated[
        float | None, Meta(description="How long the condition must be gone before the alarm ends. 0 to 3600 s.")
    ] = None
    cooldown_s: Annotated[
        float | None,
        Meta(description="Least time from the end of the alarm until it may be raised again. 0 to 3600 s."),
    ] = None
    escalate_s: Annotated[
        float | None,
        Meta(
            description="Time after which an unacknowledged alarm of high priority is sent again. "
            "0: never. 3600 s at most."
        ),
    ] = None
    pause_s: Annotated[float | None, Meta(description="ASYSTOLE: time without a heart beat. 2 to 30 s.")] = None
    below_bpm: Annotated[
        float | None,
        Meta(description="EXTREME_BRADY: heart rate below which the condition begins. 15 to 80 beats per minute."),
    ] = None
    above_bpm: Annotated[
        float | None,
        Meta(description="EXTREME_TACHY: heart rate above which the condition begins. 60 to 300 beats per minute."),
    ] = None
    storm_limit: Annotated[
        int | None,
        Meta(description="ALARM_STORM: number of alarms within storm_window_s that make a storm. 1 to 1000."),
    ] = None
    storm_window_s: Annotated[
        float | None, Meta(description="ALARM_STORM: time in which the alarms are counted. 0 to 3600 s.")
    ] = None
    priority: Annotated[Priority | None, Meta(description="Priority of the alarm. With none, it is never raised.")] = (
        None
    )
    latch: Annotated[
        bool | None,
        Meta(description="Keep the alarm on after its condition has ended, until a person acknowledges it."),
    ] = None


def rhythm_limits(specs: Sequence[AlarmSpec]) -> Limits:
    """Return the limits of the rules on the beats, as the alarms have them."""
    by_label = {spec.label: spec for spec in specs}
    usual, changes = Limits(), {}
    for label, key, limit in (
        ("ASYSTOLE", "asystole_s", "pause_s"),
        ("EXTREME_BRADY", "brady_bpm", "below_bpm"),
        ("EXTREME_TACHY", "tachy_bpm", "above_bpm"),
    ):
        value = getattr(by_label.get(label), limit, None)
        if value is not None:
            changes[key] = value
    return replace(usual, **changes)


def alarm_specs(
    labels: Sequence[Label], overrides: Mapping[str, AlarmOverride] | None = None, *, classified_beats: bool = False
) -> tuple[AlarmSpec, ...]:
    """Return the specs of the model's labels, the beats and the technical alarms, with a configuration's changes.

    With `classified_beats` the rules on the beats decide about their rhythms, and not an output of the same label.

    Raises
    ------
    ConfigError
        When an override names an unknown alarm, or has a value out of range.
    """
    model = [_model_spec(output, label) for output, label in enumerate(labels)]
    own = (*TECHNICAL, *(RHYTHMS if classified_beats else BEATS))
    if classified_beats:
        ruled = {spec.label for spec in RHYTHMS}
        model = [spec for spec in model if spec.label not in ruled]
    specs = {spec.label: spec for spec in (*own, *model)}
    if len(specs) < len(own) + len(model):
        raise ConfigError(f"the bundle's labels must be unique and none of {', '.join(s.label for s in own)}")
    for name, override in (overrides or {}).items():
        if name not in specs:
            near = difflib.get_close_matches(name.upper(), specs, n=1, cutoff=0.0)[0]
            raise ConfigError(f"no alarm named {name!r}; did you mean {near!r}?")
        specs[name] = _override(specs[name], override)
    return tuple(specs.values())


def _model_spec(output: int, label: Label) -> AlarmSpec:
    return AlarmSpec(
        label=label.abbreviation,
        name=label.name,
        snomed=label.snomed,
        kind=label.kind,
        priority=label.priority,
        output=output,
        threshold=label.threshold,
        clear_threshold=label.clear_threshold,
        on_delay_s=label.on_delay_s,
        off_delay_s=label.off_delay_s,
        cooldown_s=label.cooldown_s,
        escalate_s=label.escalate_s,
        latch=label.latch,
    )


def bundle_specs(manifest: Manifest, overrides: Mapping[str, AlarmOverride] | None = None) -> tuple[AlarmSpec, ...]:
    """Return the alarms of a bundle, see `alarm_specs`."""
    return alarm_specs(manifest.labels, overrides, classified_beats=manifest.beats is not None)


def _override(spec: AlarmSpec, override: AlarmOverride) -> AlarmSpec:
    """Return a spec with the changes of a configuration; raise ConfigError when it cannot have one of them."""
    changes = {key: value for key, value in msgspec.structs.asdict(override).items() if value is not None}
    if changes.get("priority", "none") != "none" and not LABEL_IN_TOPIC.fullmatch(spec.label):
        raise ConfigError(f"alarm {spec.label}: it cannot be raised, because its label cannot be part of an MQTT topic")
    if spec.output is None and ("threshold" in changes or "clear_threshold" in changes):
        raise ConfigError(f"alarm {spec.label}: it has no threshold, because the model does not drive it")
    if spec.storm_limit is None and ("storm_limit" in changes or "storm_window_s" in changes):
        raise ConfigError(
            f"alarm {spec.label}: it does not count alarms; set storm_limit and storm_window_s of ALARM_STORM"
        )
    _check_beats(spec, changes)
    if not 0 < changes.get("threshold", 1) <= 1:
        raise ConfigError(f"alarm {spec.label}: threshold {changes['threshold']} is not in (0, 1]")
    for key in ("on_delay_s", "off_delay_s", "cooldown_s", "escalate_s", "storm_window_s"):
        if not 0 <= changes.get(key, 0.0) <= 3600:
            raise ConfigError(f"alarm {spec.label}: {key} {changes[key]} is not in 0 to 3600")
    if not 1 <= changes.get("storm_limit", 1) <= 1000:
        raise ConfigError(f"alarm {spec.label}: storm_limit {changes['storm_limit']} is not in 1 to 1000")
    # Only now: the override may set one of the two thresholds, and the other one stays that of the bundle.
    changed = replace(spec, **changes)
    level, clear = changed.threshold, changed.clear_threshold
    if level is not None and clear is not None and not 0 < clear <= level:
        raise ConfigError(f"alarm {spec.label}: clear_threshold {clear} is not in 0 to the threshold, {level}")
    return changed


def _check_beats(spec: AlarmSpec, changes: Mapping[str, Any]) -> None:
    for key, (lowest, highest) in _BEAT_LIMITS.items():
        if key not in changes:
            continue
        if getattr(spec, key) is None:
            right = next(other.label for other in BEATS if getattr(other, key) is not None)
            raise ConfigError(f"alarm {spec.label}: it does not use {key}; set {key} of {right}")
        if not lowest <= changes[key] <= highest:
            raise ConfigError(f"alarm {spec.label}: {key} {changes[key]} is not in {lowest:g} to {highest:g}")
