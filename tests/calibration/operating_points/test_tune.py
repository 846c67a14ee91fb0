"""Operating points: the choice against brute force, the figures against `AlarmScorer`, and the command."""

import dataclasses
import itertools
import json
import shutil

import msgspec
import numpy as np
import pytest
import wfdb
from click.testing import CliRunner

from calibration.commands.tune import tune
from calibration.operating_points import choice, settings
from calibration.operating_points.choice import Budget, choose, unproven_labels
from calibration.operating_points.scoring import OutOfFoldRecord, SettingResults, SettingScorer
from calibration.operating_points.settings import THRESHOLDS, Setting, candidate_settings, manifest_setting
from calibration.operating_points.tuned_bundles import with_settings
from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import Label, Pooling, load_bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.core.samples import Cause
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.episodes import Counts
from edge.lab.scoring.folds import find_bundle_or_folds
from edge.lab.scoring.record import AlarmScorer, StreamOutput
from edge.monitor.pooling import Pooler
from training.data.labels import NAMES, PRODUCT_LABELS
from training.data.windows import INPUT
from training.evaluation.outputs import RecordOutputs
from training.loop import checkpoint

RATE_HZ, END_S = 100, 420.0


def random_results(label, random):
    """Two settings of each threshold, with random counts on two records."""
    candidates = candidate_settings(label)
    two_of_each = candidates[:: len(candidates) // (2 * len(THRESHOLDS))]
    counts = []
    for _ in two_of_each:
        found, false = random.integers(0, 5), random.integers(0, 6)
        counts.append(
            tuple(Counts(hours=1, episodes=4, found=k, alarms=k + false, right=k) for k in (found, found // 2))
        )
    return SettingResults.of(label, two_of_each, counts)


@pytest.mark.parametrize(("everywhere", "second"), [(0, 0), (4, 9), (9, 9), (9, 2)])
def test_the_choice_is_the_best_within_the_budgets(everywhere, second):
    random = np.random.default_rng(everywhere)
    labels = [Label(abbreviation=name, name=name, priority="high") for name in ("VT", "SVT")]
    both = [random_results(label, random) for label in labels]
    current = [one.settings[0] for one in both]
    limits = [everywhere, second]
    budgets = [Budget((0, 1), everywhere), Budget((1,), second)]
    picks = choose(both, current, [0, 1], budgets)
    figures = [choice._evaluate(one, now, [0, 1], budgets) for one, now in zip(both, current, strict=True)]

    def utility(numbers):
        return sum(figures[k][1][number] for k, number in enumerate(numbers))

    def false(numbers):
        return sum(figures[k][0][number] for k, number in enumerate(numbers))

    every = [n for n in itertools.product(*(range(len(one.settings)) for one in both)) if (false(n) <= limits).all()]
    if every:
        assert (false(picks) <= limits).all()
        assert utility(picks) == pytest.approx(max(map(utility, every)))
    else:
        assert false(picks)[0] == sum(counts[:, 0].min() for counts, _ in figures)


def test_windows_set_the_threshold_of_a_beat_and_alarms_its_delay():
    """One setting for each threshold and delay: the longer delay raises fewer false alarms."""
    label = Label(abbreviation="PVC", name="PVC", priority="low")
    tried, counts = [], []
    for step, level in enumerate(THRESHOLDS):
        for on_s in (3.0, 10.0):
            tried.append(Setting(level, level, on_s, 30.0, 1))
            right = 90 - abs(step - 4)
            false = 8 if on_s == 3.0 else 1
            counts.append(
                (Counts(episodes=9, found=9, alarms=9 + false, right=9, windows_with=100, windows_over=100,
                        windows_right=right),)
            )  # fmt: skip
    one = SettingResults.of(label, tried, counts)
    for most, on_s in ((9, 10.0), (1, 10.0)):
        (pick,) = choose([one], tried[:1], [0], [Budget((0,), most)])
        assert tried[pick] == Setting(THRESHOLDS[4], THRESHOLDS[4], on_s, 30.0, 1)


@pytest.mark.parametrize(("found_s", "useless"), [(10.0, True), (60.0, False)])
def test_a_useless_alarm_is_set_as_high_as_possible(found_s, useless):
    """The lower the threshold, the more it finds and the more false alarms it makes."""
    label = Label(abbreviation="LBBB", name="LBBB", priority="low")
    tried = [Setting(level, level, 20.0, 30.0, 1) for level in THRESHOLDS]
    counts = [
        (
            Counts(
                episodes=1, found=1, alarms=1 + left, right=1, reference_s=100.0, alarm_s=100.0, both_s=found_s + left
            ),
        )
        for left in reversed(range(len(tried)))
    ]
    (pick,) = choose([SettingResults.of(label, tried, counts)], tried[:1], [0], [Budget((0,), 99)])
    assert (pick == len(tried) - 1) is useless


@pytest.mark.parametrize(("priority", "most", "found"), [("high", 999, 8), ("high", 75, 4), ("medium", 999, 1)])
def test_an_alarm_of_high_priority_is_not_traded_away(priority, most, found):
    """Each higher threshold finds one of the 16 episodes less, and raises ten false alarms less."""
    label = Label(abbreviation="VT", name="VT", priority=priority)
    tried = [Setting(level, level, 0.0, 30.0, 1) for level in THRESHOLDS]
    counts = [
        (Counts(episodes=16, found=left, alarms=11 * left, right=left, reference_s=99.0, alarm_s=99.0, both_s=1.0),)
        for left in range(len(tried), 0, -1)
    ]
    (pick,) = choose([SettingResults.of(label, tried, counts)], tried[:1], [0], [Budget((0,), most)])
    assert counts[pick][0].found == found


@pytest.mark.parametrize(
    ("name", "priority", "both_s", "unproven"),
    [
        ("RBBB", "low", 10.0, True),
        ("RBBB", "low", 60.0, False),
        ("AF", "medium", 0.0, False),
        ("PVC", "low", 0.0, False),
    ],
)
def test_an_alarm_of_low_priority_must_be_of_use_on_records_that_did_not_set_it(name, priority, both_s, unproven):
    """On record 0 each setting is perfect; it was set there and is measured on record 1."""
    label = Label(abbreviation=name, name=name, priority=priority)
    tried = candidate_settings(label)
    good = Counts(episodes=1, found=1, alarms=1, right=1, reference_s=100.0, alarm_s=100.0, both_s=100.0)
    other = Counts(episodes=1, found=0, alarms=2, right=1, reference_s=100.0, alarm_s=100.0, both_s=both_s)
    counts = [(good, other)] * len(tried)
    one = SettingResults.of(label, tried, counts)
    assert unproven_labels([one], [([1], [0])]) == ({0} if unproven else set())
    assert not unproven_labels([one], [([0], [0])])
    (pick,) = choose([one], tried[:1], [0], [Budget((0, 1), 99)], suppressed={0})
    assert tried[pick].threshold == max(THRESHOLDS)
    assert tried[pick].on_delay_s == max(setting.on_delay_s for setting in tried)
    assert choose([one], tried[:1], [0], [Budget((0, 1), 0)], suppressed={0}) == [pick], (
        "its false alarm is over the budget"
    )


def random_record(seed):
    """Make beats, some of them V, and random outputs; one window in ten is bad."""
    random = np.random.default_rng(seed)
    times = np.arange(0.4, END_S, 0.8)
    symbols = np.where(random.random(times.size) < 0.05, "V", "N")
    notes = (("(N", 0.0, 330.0), ("(AFIB", 330.0, 380.0), ("(VT", 380.0, 384.0), ("(N", 384.0, END_S))
    count = int(END_S - INPUT.window_s) + 1
    values = random.random((count, len(PRODUCT_LABELS))).astype(np.float32)
    values[:, NAMES.index("NOISE")] *= 0.9
    bad = random.random(count) < 0.1
    values[bad] = np.nan
    first = np.arange(count) * RATE_HZ
    end = first + INPUT.window_samples
    outputs = RecordOutputs(float(RATE_HZ), first, end, np.where(bad, Cause.BAD_QUALITY, 0).astype(np.uint8), values)
    return OutOfFoldRecord(str(seed), str(seed), Annotation(times, symbols, notes, END_S), outputs)


def machine_counts(record, manifest, label):
    specs = alarm_specs(manifest.labels)
    pooler = Pooler(manifest.pooling, [one.abbreviation for one in manifest.labels])
    machine, output, outputs = AlarmMachine("s", "", specs), StreamOutput(RATE_HZ), record.outputs
    for number, cause in enumerate(outputs.cause):
        row = None if cause else outputs.probabilities[number]
        first, end = int(outputs.first_sample[number]), int(outputs.end_sample[number])
        decision = Decision("s", first, end, end / RATE_HZ, Cause(cause), (), pooler.push(row))
        output.decisions.append(decision)
        output.events += machine.step(decision)
    output.events += machine.finish()
    return AlarmScorer(manifest, specs, 300.0).score(record.annotation, output).labels[label]


@pytest.mark.parametrize("pooled", [1, 3])
@pytest.mark.parametrize("label", ["AF", "VT", "PVC"])
def test_settings_score_as_the_stream_would(float_bundle, label, pooled):
    """Except storms, which withhold alarms of several labels together: here only one label may alarm."""
    manifest = load_bundle(float_bundle).manifest
    labels = tuple(
        msgspec.structs.replace(one, priority=one.priority if one.abbreviation in {label, "NOISE"} else "none")
        for one in manifest.labels
    )
    manifest = msgspec.structs.replace(manifest, labels=labels, pooling=Pooling("mean", 1, {label: pooled}))
    setting = Setting(0.7, 0.5, 1.0, 5.0, pooled)
    record = random_record(5)
    scorer = SettingScorer(manifest, [record])
    one = next(one for one in scorer.scored_labels if one.abbreviation == label)
    counts = scorer.score(one, [setting], lambda: None).counts[0][0]
    expected = machine_counts(record, with_settings(manifest, {label: setting}), label)
    assert counts == expected
    assert counts.alarms > 0


@pytest.fixture
def run(float_bundle, tmp_path):
    """Write a cross-validation of one fold with random outputs, and its two records."""
    import torch

    from ecgnat.model import EcgNat, named_config

    (tmp_path / "data" / "mitdb").mkdir(parents=True)
    for seed, name in enumerate(("101", "203")):
        record = random_record(seed)
        record.outputs.save(tmp_path / "run" / "probabilities" / f"{name}.npz")
        options = {"write_dir": str(tmp_path / "data" / "mitdb")}
        wfdb.wrsamp(name, RATE_HZ, ["mV"], ["II"], np.zeros((int(END_S * RATE_HZ), 1)), fmt=["16"], **options)
        notes = [(int(start * RATE_HZ), "+", note) for note, start, _ in record.annotation.rhythms]
        beats = zip(record.annotation.times_s, record.annotation.symbols, strict=True)
        marks = sorted([*notes, *((int(time * RATE_HZ), str(symbol), "") for time, symbol in beats)])
        samples, symbols, texts = map(list, zip(*marks, strict=True))
        wfdb.wrann(name, "atr", np.array(samples), symbol=symbols, aux_note=texts, **options)
    torch.manual_seed(1)
    shallow = dataclasses.replace(named_config("tiny", len(NAMES)), depths=(1, 0, 0, 0))  # exported sooner
    checkpoint.save_model(tmp_path / "run" / "fold-1", EcgNat(shallow), NAMES)
    labels = [label.abbreviation for label in PRODUCT_LABELS]
    report = {
        "folds": {"fold-1": ["101", "203"]},
        "labels": labels,
        "input": msgspec.to_builtins(load_bundle(float_bundle).manifest.input),
    }
    (tmp_path / "run" / "crossval.json").write_text(json.dumps(report))
    shutil.copytree(float_bundle, tmp_path / "bundle")
    return tmp_path


def command(root, *more):
    arguments = ["--crossval", root / "run", "--model", root / "bundle", "--data", root / "data", *more]
    return CliRunner().invoke(tune, list(map(str, [*arguments, "--out", root / "out", "--budget", "30"])))


def test_the_command(run, monkeypatch):
    monkeypatch.setattr(settings, "THRESHOLDS", (0.3, 0.6, 0.9))
    outcome = command(run)
    assert outcome.exit_code == 0, outcome.output
    report = json.loads((run / "out" / "tune.json").read_text())
    assert report["false_alarms_per_hour"]["chosen"] <= report["false_alarms_per_hour"]["before"]
    manifest = load_bundle(run / "out" / "bundle").manifest
    for label in manifest.labels:
        if label.abbreviation in report["labels"]:
            setting = Setting(**report["labels"][label.abbreviation]["setting"])
            assert manifest_setting(label, manifest) == setting
    assert "## Operating points" in (run / "out" / "bundle" / "MODEL_CARD.md").read_text()
    folds = find_bundle_or_folds(str(run / "out" / "folds"))
    assert set(folds.by_record) == {"101", "203"}
    open_classifier(folds.for_record("101"), ClassifierConfig()).close()  # proves itself on its golden windows
    seen = json.loads((folds.for_record("101").path / "seen_records.json").read_text())
    assert not {"101", "203"} & set(seen["mitdb"]["train"])
    assert "208" in seen["mitdb"]["train"]
    assert (run / "out" / "curves.png").stat().st_size > 20_000


def test_a_cross_validation_of_other_windows_is_refused(run):
    path = run / "run" / "crossval.json"
    report = json.loads(path.read_text())
    report["input"]["hop_s"] = 2.0
    path.write_text(json.dumps(report))
    assert "its windows are not the bundle's" in str(command(run).exception)
