"""The fast computation of alarms against the alarm machine and the scorer."""

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.operating_points.alarm_runs import Evidence
from calibration.operating_points.settings import Setting
from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import SCHEMA_VERSION, InputSpec, Label, Manifest, Pooling
from edge.core.samples import Cause
from edge.lab.scoring.record import AlarmScorer, StreamOutput
from edge.monitor.pooling import Pooler, pool_windows

RATE_HZ, WINDOW_S = 100, 5
INPUT = InputSpec(sample_rate_hz=100, window_s=WINDOW_S, hop_s=1, min_coverage=0.9)
AF = Label(abbreviation="AF", name="atrial fibrillation", priority="medium")
NOISE = Label(abbreviation="NOISE", name="noise", priority="low", kind="technical", threshold=0.5)
LEVELS = st.sampled_from([0.1, 0.35, 0.6, 0.9])
WINDOWS = st.lists(st.tuples(LEVELS, st.sampled_from("gggggbnx")), min_size=1, max_size=80)  # good bad noisy, or absent
SETTINGS = st.builds(
    Setting,
    threshold=st.sampled_from([0.3, 0.5]),
    clear_threshold=st.sampled_from([0.2, 0.3]),
    on_delay_s=st.sampled_from([0.0, 1.0, 3.0]),
    off_delay_s=st.sampled_from([0.0, 2.0, 4.0]),
    pooled=st.sampled_from([1, 3]),
)


def machine_alarms(windows, setting):
    """Return the alarms of the machine and the scorer."""
    fields = {name: getattr(setting, name) for name in ("threshold", "clear_threshold", "on_delay_s", "off_delay_s")}
    labels = (msgspec.structs.replace(AF, **fields), NOISE)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name="t",
        version="1",
        input=INPUT,
        pooling=Pooling("mean", setting.pooled, {"NOISE": 1}),
        labels=labels,
        graphs={},
        files={},
    )
    specs = alarm_specs(labels)
    pooler, machine, output = (
        Pooler(manifest.pooling, ["AF", "NOISE"]),
        AlarmMachine("s", "", specs),
        StreamOutput(RATE_HZ),
    )
    for number, (level, kind) in enumerate(windows):
        if kind == "x":
            continue
        outputs = None if kind == "b" else np.array([level, 0.9 * (kind == "n")], np.float32)
        decision = Decision(
            stream="s",
            first_sample=number * RATE_HZ,
            end_sample=(number + WINDOW_S) * RATE_HZ,
            end_s=float(number + WINDOW_S),
            cause=Cause.BAD_QUALITY if kind == "b" else Cause.PRESENT,
            leads=(),
            probabilities=pooler.push(outputs),
        )
        output.decisions.append(decision)
        output.events += machine.step(decision)
    output.events += machine.finish()
    return AlarmScorer(manifest, specs, 0.0).alarms(next(spec for spec in specs if spec.label == "AF"), output)


@settings(max_examples=150, deadline=None)
@given(WINDOWS, SETTINGS)
def test_the_same_alarms_as_the_machine(windows, setting):
    present = [(number, level, kind) for number, (level, kind) in enumerate(windows) if kind != "x"]
    if not present:
        return
    number, level, kind = map(np.array, zip(*present, strict=True))
    outputs = np.where(kind == "b", np.nan, level).astype(np.float32)[:, None]
    values = pool_windows(outputs, Pooling("mean", setting.pooled), ["AF"])[:, 0]
    start_s = number.astype(float)
    evidence = Evidence.of(values, start_s, start_s + WINDOW_S, np.isin(kind, ["g"]))
    if evidence.lost.any():
        return  # the machine alone knows how far an alarm reaches that ends with the signal
    found = evidence.find_alarms(setting)
    assert evidence.to_alarms(found, setting.pooled, WINDOW_S, 1.0) == machine_alarms(windows, setting)
