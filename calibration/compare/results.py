"""Tables of a comparison as Markdown: a section of a results page for each bundle, and the table of a model card."""

from pathlib import Path
from typing import Any

from calibration.export.card import put_section
from edge.lab import results_page as results

_TITLE = "# Precisions\n\n`ecg-calibrate compare` writes the sections of this page.\n"
_CARD_TITLE = "## Precisions"


def render(result: dict[str, Any], wider: list[dict[str, str]]) -> str:
    """Return the section of one bundle; `wider` is the list of `quantization.json`."""
    bundle = result["bundle"]
    parts = [
        f"## {bundle['name']} {bundle['version']}",
        accuracy_table(result),
        _explanation(result)
        + f" {result['decisions']} decisions on {result['windows']} windows of {result['records']} records.",
        _gate(result["refusals"]),
        "### By data set\n\n" + _data_sets(result["precisions"]),
        "### Labels that lose most\n\n" + _labels(result["precisions"]),
        "### Time\n\n" + _times(result),
    ]
    if wider:
        parts.append("### What stays wider than int8\n\n" + _wider(wider))
    return "\n\n".join(parts) + "\n"


def accuracy_table(result: dict[str, Any]) -> str:
    """Return the table of all precisions."""
    columns = ["precision", "macro AUC", "difference [95%]", "macro F1", "difference [95%]", "flips", "worst label"]
    columns += ["probability error p50 / p99 / max", "MB", "p50 / p99 ms, batch 1"]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, p in result["precisions"].items():
        error, time = p["probability_error"], p["latency_ms"]["b1"]
        worst = p["worst_label"]
        lost = f"{worst} {p['labels'][worst]['delta']:+.4f}" if worst and name != "fp32" else ""
        rows.append(
            f"| {name} | {p['macro_auc']:.4f} | {_interval(p['delta'], p['delta_ci95'])} | {p['macro_f1']:.4f} "
            f"| {_interval(p['f1_delta'], p['f1_delta_ci95'])} | {p['flips']:.2%} | {lost} "
            f"| {error['p50']:.1e} / {error['p99']:.1e} / {error['p100']:.1e} | {p['size_mb']:.1f} "
            f"| {time['p50']:.2f} / {time['p99']:.2f} |"
        )
    return "\n".join(rows)


def write_section(path: Path, name: str, section: str) -> None:
    """Put a bundle's section into the file, in place of the one that it has."""
    results.write_section(path, _TITLE, name, section)


def put_on_card(card: str, result: dict[str, Any]) -> str:
    """Return a model card with the table of all precisions, in place of an earlier one."""
    body = (
        f"{accuracy_table(result)}\n\n{_explanation(result)} "
        "Times: ONNX Runtime on one CPU thread of the build machine."
    )
    return put_section(card, _CARD_TITLE, body)


def _explanation(result: dict[str, Any]) -> str:
    protocol: str = result["protocol"]
    flips = "Flips: share of the decisions in which the output of any alarm crosses its threshold."
    return f"{protocol[0].upper()}{protocol[1:]}. {flips}"


def _interval(value: float, ci95: tuple[float, float]) -> str:
    return f"{value:+.4f} [{ci95[0]:+.4f}, {ci95[1]:+.4f}]"


def _gate(refusals: list[str]) -> str:
    return "The gate passes." if not refusals else "The gate refuses:\n\n" + "\n".join(f"- {line}" for line in refusals)


def _data_sets(precisions: dict[str, Any]) -> str:
    rows = ["| precision | data set | decisions | records | macro AUC | difference [95%] | flips |"]
    rows.append("|---|---|---|---|---|---|---|")
    for name, p in precisions.items():
        for data_set, d in p["data_sets"].items():
            rows.append(
                f"| {name} | {data_set} | {d['decisions']} | {d['records']} | {d['macro_auc']:.4f} "
                f"| {_interval(d['delta'], d['delta_ci95'])} | {d['flips']:.2%} |"
            )
    return "\n".join(rows)


def _labels(precisions: dict[str, Any], most: int = 5) -> str:
    rows = ["| precision | label | positive decisions (records) | AUC FP32 | AUC | difference [95%] |"]
    rows.append("|---|---|---|---|---|---|")
    for name, p in precisions.items():
        if name == "fp32":
            continue
        for label, r in sorted(p["labels"].items(), key=lambda item: item[1]["delta"])[:most]:
            rows.append(
                f"| {name} | {label} | {r['positives']} ({r['positive_records']}) | {r['auc_fp32']:.4f} "
                f"| {r['auc']:.4f} | {_interval(r['delta'], r['delta_ci95'])} |"
            )
    return "\n".join(rows)


def _times(result: dict[str, Any]) -> str:
    rows = ["| runtime | batch 1, p50 / p99 ms | batch 8 | batch 32 | batch 32, ms a window |", "|---|---|---|---|---|"]
    for name, times in result["runtimes"].items():
        cells = " | ".join(f"{times[b]['p50']:.2f} / {times[b]['p99']:.2f}" for b in ("b1", "b8", "b32"))
        rows.append(f"| {name} | {cells} | {times['b32']['p50'] / 32:.2f} |")
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    note = f"One thread of {result['processor']}; the candidates took turns; {versions}."
    return "\n".join(rows) + "\n\n" + note + " The fp16 graphs are for GPUs: on CPUs a runtime casts them back."


def _wider(wider: list[dict[str, str]]) -> str:
    by_reason: dict[str, list[str]] = {}
    for row in wider:
        by_reason.setdefault(row["why"], []).append(row["name"].removeprefix("network."))
    return "\n".join(f"- {', '.join(names)}: {why}" for why, names in by_reason.items())
