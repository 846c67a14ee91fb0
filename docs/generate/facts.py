"""Tables of single facts: leads, alarms, outputs, metrics, serial formats."""

from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import edge
from edge.alarms.specs import bundle_specs
from edge.alarms.track import AlarmSpec
from edge.beats.rules import RULES
from edge.bundle.manifest import Bundle, load_bundle
from edge.core.leads import LEADS, lead_index
from edge.publish.health import DeviceHealth, LatencyHealth, PublisherHealth, QueueHealth, StreamHealth
from edge.service.health.metrics import HealthCollector
from edge.sources.serial_formats import _DEFAULTS as SERIAL_DEFAULTS

_SPELLINGS = (
    *(f"{prefix}{name}" for prefix in ("ML", "D") for name in ("I", "II", "III", "1", "2", "3")),
    *(f"{prefix}{k}" for prefix in ("MV", "MCL") for k in range(1, 7)),
)


def _rows(*rows: Iterable[object]) -> str:
    first, *rest = ([str(cell) for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(row) + " |" for row in (first, ["---"] * len(first), *rest))


def _bundle() -> Bundle:
    return load_bundle(Path(edge.__file__).parent / "bundles" / "rhythm")


def leads(_: str) -> str:
    """Return the twelve leads with the other spellings that are understood."""
    others = {name: [f"`{other}`" for other in _SPELLINGS if lead_index(other) == k] for k, name in enumerate(LEADS)}
    rows = ([k, f"`{name}`", ", ".join(others[name])] for k, name in enumerate(LEADS))
    return _rows(["position", "name", "other spellings"], *rows)


def alarms(_: str) -> str:
    """Return every alarm with the values that hold unless the configuration changes them."""
    specs = [spec for spec in bundle_specs(_bundle().manifest) if spec.priority != "none"]
    head = ["label", "name", "SNOMED CT", "priority", "raised when", "on delay s", "off delay s"]
    return _rows(head, *(_alarm(spec) for spec in sorted(specs, key=lambda spec: spec.kind)))


def _alarm(spec: AlarmSpec) -> list[str]:
    delays = [f"{spec.on_delay_s:g}", f"{spec.off_delay_s:g}"]
    return [f"`{spec.label}`", spec.name, spec.snomed or "", spec.priority, _condition(spec), *delays]


def rules(_: str) -> str:
    """Return the rules on the beats, with definition and source."""
    rows = ([f"`{rule.label}`", rule.priority, rule.definition, rule.source] for rule in RULES)
    return _rows(["label", "priority", "definition", "source"], *rows)


def _condition(spec: AlarmSpec) -> str:
    if spec.by_beats:
        return "the rule below holds"
    if spec.output is not None:
        clear = spec.clear_threshold
        return f"p ≥ {spec.threshold:g}" + (f", until p < {clear:g}" if clear not in {None, spec.threshold} else "")
    if spec.storm_limit is not None:
        return f"{spec.storm_limit} alarms within {spec.storm_window_s:g} s"
    causes = ", ".join(f"`{cause.key}`" for cause in sorted(spec.causes))
    return f"a window is lost to {causes}" + (", or the network says noise" if spec.by_gates else "")


def outputs(_: str) -> str:
    """Return the outputs of the shipped network that raise no alarm."""
    labels = [label for label in _bundle().manifest.labels if label.priority == "none"]
    rows = ([f"`{label.abbreviation}`", label.name, label.snomed or "", f"{label.threshold:g}"] for label in labels)
    return _rows(["output", "name", "SNOMED CT", "threshold"], *rows)


def metrics(_: str) -> str:
    """Return every metric family with its labels."""
    head = ["metric", "type", "labels", "meaning"]
    rows = []
    for family in HealthCollector(_health).collect():
        suffix = "_total" if family.type == "counter" else ""
        labels = dict.fromkeys(f"`{label}`" for sample in family.samples for label in sample.labels)
        rows.append([f"`{family.name}{suffix}`", family.type, ", ".join(labels), family.documentation])
    return _rows(head, *rows)


def serial_formats(_: str) -> str:
    """Return what each serial format takes for granted until the configuration says otherwise."""
    head = ["`format`", "`leads`", "`sample_rate_hz`", "`gain`, units per mV", "`baseline`"]
    rows = (
        [f"`{name}`", ", ".join(each.leads), f"{each.sample_rate_hz:g}", f"{each.gain:.6g}", each.baseline]
        for name, each in SERIAL_DEFAULTS.items()
    )
    return _rows(head, *rows)


def _health() -> DeviceHealth:
    """Return a health in which every figure is there, so that every metric shows its labels."""
    stream = StreamHealth(
        sample_rate_hz=250.0,
        true_rate_hz=250.0,
        leads=("II",),
        samples_in=1,
        classified=1,
        pending=0,
        missing={"crc": 1},
        windows=1,
    )
    counts = {"any": 1}
    return DeviceHealth(
        time=datetime.now(timezone.utc),
        version=edge.__version__,
        uptime_s=1.0,
        bundle=_bundle().ref,
        backend="onnxruntime",
        precision="fp32",
        samples_in=1,
        classified=1,
        pending=0,
        missing=counts,
        duplicates=0,
        windows=1,
        shed_windows=0,
        latency=LatencyHealth(windows=1, p50_ms=1.0, p99_ms=1.0),
        queue=QueueHealth(windows=0, oldest_s=0.0),
        publisher=PublisherHealth(
            connected=True,
            queued=0,
            outbox=0,
            sent=0,
            connects=1,
            failures=0,
            commands=counts,
            dropped=counts,
            unlogged=0,
        ),
        blocks_refused=0,
        blocks_unkept=0,
        source_events=counts,
        memory_mb=1.0,
        cpu_temperature_c=1.0,
        streams_open=1,
        streams={"bed-7": stream},
    )
