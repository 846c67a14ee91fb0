"""`ecg-train evaluate`: the figures, the records they are from, and the error messages."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb
from command_line import ecg_train

import edge
from edge.core.leads import LEADS
from edge.sources.synthetic import render
from training.data.labels import PRODUCT_LABELS, STATEMENT_LABELS, statement_name
from training.data.sets.ptb_xl import Entry, read_groups
from training.data.statements import SCP_STATEMENTS
from training.evaluation import ptb_xl

BUNDLES = Path(edge.__file__).parent / "bundles"
DIAGNOSTIC = {label.abbreviation: i for i, label in enumerate(STATEMENT_LABELS)}
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
RHYTHM = {label.abbreviation: i for i, label in enumerate(PRODUCT_LABELS)}


@pytest.fixture(scope="module")
def groups(data_dir):
    if not (data_dir / "ptb-xl" / "scp_statements.csv").is_file():
        pytest.skip(f"no PTB-XL in {data_dir}")
    return read_groups(data_dir / "ptb-xl")


@pytest.fixture
def entries():
    """Two records for each statement."""
    return [Entry(str(i), str(i), 9, frozenset({code}), False, ()) for i, code in enumerate([*SCP_STATEMENTS] * 2)]


def test_groups_have_the_sizes_of_the_benchmark(groups, entries):
    index = DIAGNOSTIC | {name: 71 + i for i, name in enumerate(SUPERCLASSES)}
    scores = np.zeros((len(entries), 76), np.float32)
    for row, entry in enumerate(entries):
        (code,) = entry.statements
        scores[row, index[statement_name(code)]] = 0.9
        if groups[code]["diagnostic_class"]:
            scores[row, index[groups[code]["diagnostic_class"]]] = 0.9
    result = ptb_xl.score(ptb_xl.scores_by_group(scores, index, entries, groups))
    assert result["classes"] == {
        "all": 71,
        "diagnostic": 44,
        "form": 19,
        "rhythm": 12,
        "subdiagnostic": 23,
        "superdiagnostic": 5,
    }
    assert set(result["macro_auc"].values()) == {1.0}


def test_product_labels_are_scored_as_the_statements_that_mean_the_same(groups, entries):
    scores = np.random.default_rng(0).random((len(entries), len(RHYTHM))).astype(np.float32)
    named = ptb_xl.scores_by_group(scores, RHYTHM, entries, groups)
    assert set(named) == {"rhythm", "superdiagnostic"}
    assert named["rhythm"][0].shape[1] == 10, "all rhythm statements but SARRH and SVARR"
    column = [c for c in SCP_STATEMENTS if groups[c]["rhythm"] and c not in {"SARRH", "SVARR"}].index("AFIB")
    assert np.array_equal(named["rhythm"][0][:, column], scores[:, RHYTHM["AF"]].astype(float))


@pytest.fixture
def few_records(data_dir, tmp_path):
    """Twelve CinC 2017 records, three of each class, in PhysioNet's layout."""
    source = data_dir / "cinc2017"
    if not (source / "REFERENCE-v3.csv").is_file():
        pytest.skip(f"no CinC 2017 in {data_dir}")
    rows = [row.split(",") for row in (source / "REFERENCE-v3.csv").read_text().split()]
    chosen = [row for name in "NAO~" for row in [r for r in rows if r[1] == name][:3]]
    for record, _ in chosen:
        for suffix in ("hea", "mat"):
            shutil.copy(source / f"{record}.{suffix}", tmp_path)
    (tmp_path / "REFERENCE-v3.csv").write_text("".join(f"{','.join(row)}\n" for row in [*chosen, ["A99999", "N"]]))
    return tmp_path


def test_it_scores_the_records_in_the_folder(few_records, tmp_path):
    result = ecg_train(
        "evaluate", "cinc2017", "--data", few_records, "--model", BUNDLES / "rhythm", "--json", tmp_path / "r.json"
    )
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "r.json").read_text())
    assert figures["records"] == 12
    assert set(figures["f1"]) == {"N", "A", "O", "~", "mean"}
    assert figures["f1"]["mean"] == pytest.approx(np.mean([figures["f1"][c] for c in "NAO"]))
    assert figures["bundle"]["name"] == "ecg-nat"
    assert "mean" in result.stdout


def test_it_scores_mitdb_by_label_and_record(data_dir, tmp_path):
    """Here `--data` is the folder above the set's, and the bundle is named as the shipped one."""
    (tmp_path / "mitdb").mkdir()
    for suffix in ("dat", "hea", "atr"):
        shutil.copy(data_dir / "mitdb" / f"208.{suffix}", tmp_path / "mitdb")
    result = ecg_train("evaluate", "mitdb", "--data", tmp_path, "--model", "rhythm", "--json", "-")
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["records"] == ["208"]
    assert figures["labels"] == figures["by_record"]["208"]
    assert figures["labels"]["PVC"]["positive"] > 400
    assert figures["labels"]["PVC"]["auc"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("cinc2017", "--model", "no-such-bundle"), 1, "neither a folder nor one of the shipped"),
        (("ptb-xl", "--model", "{bundle}"), 1, "ptbxl_database.csv"),
        (("cinc2017", "--model", "{bundle}"), 1, "REFERENCE-v3.csv"),
        (("mitdb", "--model", "{bundle}"), 1, "no record"),
        (("ptb-xl", "--model", "{bundle}", "--folds", "nine"), 2, "is not a list"),
        (("mitdb", "--model", "{bundle}", "--folds", "9"), 2, "--folds belongs to ptb-xl"),
    ],
)
def test_errors_are_one_clear_line(tmp_path, arguments, code, words):
    filled = [word.format(bundle=BUNDLES / "rhythm") for word in arguments]
    result = ecg_train("evaluate", *filled, "--data", tmp_path)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_it_scores_cpsc2018(tmp_path):
    """The set was not available: three synthetic records in its layout."""
    wave = render("sinus", 10.0, sample_rate_hz=500.0, seed=1).T.astype(float)
    for name, code in (("A0001", "426783006"), ("A0002", "164889003"), ("A0003", "426783006")):
        wfdb.wrsamp(
            name,
            500,
            ["mV"] * 12,
            list(LEADS),
            wave,
            fmt=["16"] * 12,
            comments=[f"Dx: {code}"],
            write_dir=str(tmp_path),
        )
    result = ecg_train("evaluate", "cpsc2018", "--data", tmp_path, "--model", "rhythm", "--json", tmp_path / "r.json")
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "r.json").read_text())
    assert figures["records"] == 3
    assert figures["f1"]["Normal"] == pytest.approx(0.8), "all three look the same, so one of them is wrong"
    assert figures["f1"]["AF"] == 0
