"""A folder of records through the whole monitor: figures worked out by hand, and equal to an offline batch."""

import json
import shutil
import threading

import msgspec
import numpy as np
import pytest
import wfdb
from command_line import ecg_edge

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import load_bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.core.errors import BundleError, EdgeError, RecordError
from edge.core.leads import LEADS
from edge.core.samples import Cause, mark_invalid
from edge.lab.scoring.annotation import read_annotation
from edge.lab.scoring.folder import FolderScore, ScoreConfig, score_folder
from edge.lab.scoring.record import AlarmScorer, StreamOutput
from edge.lab.scoring.summary import RecordCounts, record_score
from edge.signal.windows import WindowStream


@pytest.fixture(scope="session")
def scored(folder, tiny_bundle, tmp_path_factory):
    """Score the whole folder; return the report, and where its alarms were written."""
    out = tmp_path_factory.mktemp("alarms")
    return score_folder(tiny_bundle, ScoreConfig(folder=folder, start_s=0.0, alarms_to=out)), out


def test_figures_worked_out_by_hand(scored):
    """Windows are over the threshold of AF with 2.9 s of loud signal, so from 23 s on, and raise it 2 s later.

    201: AF 20-40, alarm from 17.5 to 42.5, raised at 25. 202: AF 60-90 missed, a false alarm from 97.5 to the last
    window's middle at 115.5. 301: AF 30-50 as in 201, and one false AF alarm of 13 s around a run of VT.
    """
    score, _ = scored
    af = score.labels["AF"]
    assert (af.counts["episodes"], af.counts["found"], af.counts["alarms"], af.counts["right"]) == (3, 2, 4, 2)
    assert af.duration_se == pytest.approx(40 / 70)
    assert af.duration_ppv == pytest.approx(40 / (25 + 18 + 25 + 13))
    assert (af.delay_s.median, af.delay_s.p90, af.delay_s.episodes) == (5.0, 5.0, 2)
    assert af.average["episode_se"] == pytest.approx(2 / 3)
    assert score.hours == pytest.approx(480 / 3600)
    assert score.false_alarms_per_hour == pytest.approx(2 / score.hours)
    vt = score.labels["VT"]
    assert (vt.episode_se, vt.episode_ppv, vt.duration_se, vt.false_alarms_per_hour) == (1, 1, 1, 0)
    assert vt.delay_s.median == 3.0
    assert score.patients == 3
    assert score.sinus.record_names == ("302",)
    assert score.sinus.false_alarms_per_hour == 0


def test_the_records_add_up_to_the_total(scored):
    score, _ = scored
    assert [record.record for record in score.records] == list(score.record_names) == ["201", "202", "301", "302"]
    for label, figures in score.labels.items():
        for name in ("episodes", "found", "alarms", "right", "reference_s", "both_s"):
            assert figures.counts[name] == pytest.approx(sum(r.labels[label].counts[name] for r in score.records))


def test_alarms_are_written_as_wfdb_annotations(scored):
    _, out = scored
    read = wfdb.rdann(str(out / "301"), "alarms")
    assert read.fs == 250
    assert [note.rstrip("\x00") for note in read.aux_note] == ["AF on", "AF off", "AF on", "VT on", "VT off", "AF off"]
    assert (read.sample / 250).tolist() == [35, 58, 83, 83, 92, 94]
    assert not (out / "302.alarms").exists()


def batch(path, bundle):
    """Decide a whole record offline: one array from wfdb, one run of the graph, one pass of the alarms."""
    record = wfdb.rdrecord(str(path))
    samples = np.ascontiguousarray(record.p_signal.T, np.float32)
    missing = np.zeros(samples.shape, np.uint8)
    mark_invalid(samples, missing)
    stream = WindowStream(bundle.manifest.input, record.fs, record.sig_name)
    windows = [*stream.push(samples, missing), *stream.finish()]
    good = [window for window in windows if window.cause is Cause.PRESENT]
    signal = np.zeros((len(good), len(LEADS), bundle.manifest.input.window_samples), np.float32)
    keep = np.zeros((len(good), len(LEADS)), np.float32)
    for row, window in enumerate(good):
        signal[row, list(window.positions)] = window.signal
        keep[row, list(window.positions)] = 1.0
    with open_classifier(bundle, ClassifierConfig()) as classifier:
        outputs = iter(classifier.classify(signal, keep))
    machine, output = AlarmMachine("batch", "", alarm_specs(bundle.manifest.labels)), StreamOutput(record.fs)
    for window in windows:
        decision = Decision(
            stream="batch",
            first_sample=window.first_sample,
            end_sample=window.end_sample,
            end_s=window.end_sample / record.fs,
            cause=window.cause,
            leads=window.leads,
            probabilities=next(outputs) if window.cause is Cause.PRESENT else None,
        )
        output.decisions.append(decision)
        output.events += machine.step(decision)
    output.events += machine.finish()
    return output


def test_the_stream_and_an_offline_batch_give_the_same_numbers(folder, scored, tiny_bundle):
    scorer = AlarmScorer(tiny_bundle.manifest, alarm_specs(tiny_bundle.manifest.labels), 0.0)
    for streamed in scored[0].records:
        assert streamed.labels == labels_of(scorer, folder / streamed.record, tiny_bundle)


def test_the_same_on_real_records(data_dir, tiny_bundle):
    scorer = AlarmScorer(tiny_bundle.manifest, alarm_specs(tiny_bundle.manifest.labels), 300.0)
    score = score_folder(tiny_bundle, ScoreConfig(folder=data_dir / "mitdb", only=("101", "203")))
    for streamed in score.records:
        assert streamed.labels == labels_of(scorer, data_dir / "mitdb" / streamed.record, tiny_bundle)
    assert score.labels["AF"].counts["episodes"] == 17
    assert score.labels["AF"].counts["alarms"] > 2
    assert score.qrs.se >= 0.995
    assert score.qrs.ppv >= 0.99
    annotated = [record.qrs.found + record.qrs.missed for record in score.records]
    assert annotated == [1523, 2481], "beats that `rdann` lists from minute 5 on"


def labels_of(scorer, path, bundle):
    alarms = scorer.score(read_annotation(path), batch(path, bundle))
    return record_score(RecordCounts(record="", patient="", hours=1.0, alarms=alarms)).labels


def seen(bundle_path, target, sets):
    """Copy the bundle with a list of records that it has seen."""
    shutil.copytree(bundle_path, target)
    (target / "seen_records.json").write_text(sets if isinstance(sets, str) else json.dumps(sets))
    return load_bundle(target)


def test_records_that_the_bundle_has_seen_are_marked(folder, tiny_bundle_path, tmp_path):
    bundle = seen(tiny_bundle_path, tmp_path / "a", {"mitdb": {"train": ["201"], "validation": ["302"]}})
    score = score_folder(bundle, ScoreConfig(folder=folder, start_s=0.0))
    assert score.seen_in_training == ("201", "302")
    assert [record.seen_in_training for record in score.records] == [True, False, False, True]
    assert score.unseen.record_names == ("202", "301")
    assert score.unseen.labels["AF"].counts["episodes"] == 2


def test_a_record_of_the_same_name_in_another_set_is_not_marked(folder, tiny_bundle_path, tmp_path):
    sets = {"mitdb": {"train": []}, "ptb-xl": {"train": ["201"]}}
    for name, known in (("a", sets), ("b", {"ptb-xl": sets["ptb-xl"]})):
        bundle = seen(tiny_bundle_path, tmp_path / name, known)
        score = score_folder(bundle, ScoreConfig(folder=folder, only=("201",), start_s=0.0))
        assert score.seen_in_training == ()


def test_a_list_of_seen_records_that_cannot_be_read(folder, tiny_bundle_path, tmp_path):
    bundle = seen(tiny_bundle_path, tmp_path / "a", "[1]")
    with pytest.raises(BundleError, match=r"seen_records\.json"):
        score_folder(bundle, ScoreConfig(folder=folder, start_s=0.0))


def test_an_early_stop_reports_the_finished_records(folder, tiny_bundle):
    stopped = threading.Event()

    def progress(record, done_s, total_s):
        assert done_s <= total_s == 480
        if record == "202":
            stopped.set()

    score = score_folder(tiny_bundle, ScoreConfig(folder=folder, start_s=0.0), progress=progress, stopped=stopped)
    assert score.record_names == ("201",)
    with pytest.raises(RecordError, match="stopped before"):
        score_folder(tiny_bundle, ScoreConfig(folder=folder, start_s=0.0), stopped=stopped)


def spoil(change, folder, target):
    copy = shutil.copytree(folder, target / "mitdb")
    change(copy)
    return copy


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda path: (path / "201.hea").unlink(), "201"),
        (lambda path: (path / "201.atr").write_bytes(b"\x01"), "201.atr"),
        (lambda path: (path / "201.atr").write_bytes(b""), "201.atr"),
        (lambda path: (path / "201.atr").write_bytes(b"time,beat\n1,N\n2,N\n"), "is a text file"),
        (lambda path: (path / "201.dat").unlink(), "201.dat is missing"),
        (lambda path: write_atr(path, "201", [250, 500, 250 * 900]), "annotations end at 900 s, the record at 120 s"),
    ],
)
def test_one_bad_record_is_named_and_left_out(folder, tiny_bundle, tmp_path, change, word):
    copy = spoil(change, folder, tmp_path)
    score = score_folder(tiny_bundle, ScoreConfig(folder=copy, start_s=0.0, only=("201", "302")))
    assert score.record_names == ("302",)
    (left_out,) = score.left_out
    assert left_out.record == "201"
    assert word in left_out.reason
    assert "\n" not in left_out.reason
    with pytest.raises(EdgeError, match="no record can be scored") as caught:
        score_folder(tiny_bundle, ScoreConfig(folder=copy, only=("201",), start_s=0.0))
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def write_atr(path, name, samples):
    wfdb.wrann(name, "atr", np.array(samples), symbol=["N"] * len(samples), fs=250, write_dir=str(path))


def test_a_folder_without_annotations(folder, tiny_bundle, tmp_path):
    copy = spoil(lambda path: [file.unlink() for file in path.glob("*.atr")], folder, tmp_path)
    with pytest.raises(EdgeError, match="no annotated record"):
        score_folder(tiny_bundle, ScoreConfig(folder=copy))


def test_records_that_end_within_the_learning_period(folder, tiny_bundle):
    with pytest.raises(RecordError, match="is 120 s long; --skip leaves out the first 300 s"):
        score_folder(tiny_bundle, ScoreConfig(folder=folder))


def command(*arguments):
    return ecg_edge("score", *arguments)


def test_the_command(folder, tiny_bundle_path, tmp_path):
    result = command(
        folder,
        *("--model", tiny_bundle_path, "--records", "201,301", "--skip", "0"),
        *("--json", tmp_path / "score.json", "--out", tmp_path / "out"),
    )
    assert result.returncode == 0, result.stderr
    assert "false alarms an hour" in result.stdout
    report = json.loads((tmp_path / "score.json").read_text())
    keys = {"episode_se", "episode_ppv", "duration_se", "duration_ppv", "false_alarms_per_hour", "delay_s"}
    assert keys <= report["labels"]["AF"].keys()
    assert report["labels"]["AF"]["ci95"]["duration_ppv"]
    assert {"false_alarms_per_hour", "hours", "records", "protocol"} <= report.keys()
    assert msgspec.convert(report, FolderScore).record_names == ("201", "301")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["201.alarms", "301.alarms"]


def test_the_command_tells_leads_and_records_left_out(folder, tiny_bundle_path, tmp_path):
    copy = spoil(lambda path: (path / "301.atr").write_bytes(b""), folder, tmp_path)
    chosen = ("--records", "301,302", "--skip", "0")
    result = command(copy, "--model", tiny_bundle_path, *chosen, "--leads", "V1", "--json", tmp_path / "score.json")
    assert result.returncode == 0, result.stderr
    assert "left out: 301: " in result.stdout
    assert "records left out: 1" in result.stdout
    assert json.loads((tmp_path / "score.json").read_text())["left_out"][0]["record"] == "301"
    refused = command(copy, "--leads", "V9")
    assert refused.returncode == 2
    assert "'V9' is not a lead" in refused.stderr


def test_json_on_standard_output_is_json_alone(folder, tiny_bundle_path):
    result = command(folder, "--model", tiny_bundle_path, "--records", "201", "--skip", "0", "--json", "-")
    assert json.loads(result.stdout)["record_names"] == ["201"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--records", "999"], 1, "999"),
        (["--annotator", "qrs"], 1, "*.qrs"),
        (["--records", " ,"], 2, "it names no record"),
        (["--skip", "-1"], 2, "--skip"),
    ],
)
def test_errors(folder, tiny_bundle_path, arguments, code, word):
    result = command(folder, "--model", tiny_bundle_path, *arguments)
    assert result.returncode == code
    assert word in result.stderr
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1
