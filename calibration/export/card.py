"""Writes `MODEL_CARD.md`: the measured figures, and the weaknesses that follow from the data."""

import re
from collections.abc import Sequence

from calibration.export.thresholds import CEILING, FLOOR, PRECISION, SINUS_RATE, Choice
from edge.bundle.manifest import Manifest

_WEAKNESSES = """\
- A research tool and no medical device; nobody has tested it on patients.
- PTB-XL and CinC 2017 label whole records: a premature beat that the record's label names may lie anywhere in it.
- One lead cannot show what other leads show: infarction, hypertrophy and bundle branch blocks are for 12 leads.
- PTB-XL comes from one maker's machines between 1984 and 2001, adults for the most part.
- CinC 2017 names no patients: its judged part may hold people that training saw."""
_ALARM_WEAKNESSES = """\
- VT is learnt from MIT-BIH alone (31 runs in the records of DS1, of few patients), AFL and SVT from a few dozen
  records: their figures rest on few patients, and their alarms will miss and mistake.
- Thresholds were chosen on the validation patients shown above; on other patients, recorders or leads the rate of
  false alarms differs. MIT-BIH's validation part has seven patients, so a window count is no patient count.
- NOISE is learnt from CinC 2017's class `~` and from recorded noise added at -9 dB and worse.
- Asystole is no label: a flat line with noise may be called NOISE, or even SR."""


def render_card(manifest: Manifest, choices: Sequence[Choice], facts: Sequence[str], command: str, log: str) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    manifest : of the bundle that the card belongs to
    choices : the thresholds and their counts on the validation windows
    facts : one line each, such as the measured parity and speed
    command, log : the command line of the training, and its CSV log
    """
    sections = [
        f"# {manifest.name} {manifest.version}",
        _description(manifest),
        "\n".join(f"- {fact}" for fact in facts),
        "## Data\n\n"
        + "\n".join(f"- {d.name} {d.version}, {d.licence}, {d.citation}: {d.split}." for d in manifest.data_sets)
        + "\n\nEvery record seen in training or in the choice of thresholds is named in `seen_records.json`.",
        "## Measured\n\n" + _metrics(manifest),
    ]
    if choices:
        sections.append("## Thresholds\n\n" + _thresholds(choices))
    sections += [
        "## Known weaknesses\n\n" + _weaknesses(choices),
        f"## Training\n\n```sh\n{command}\n```\n\n```csv\n{log.rstrip()}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _description(manifest: Manifest) -> str:
    spec, pooling = manifest.input, manifest.pooling
    alarms = [label.abbreviation for label in manifest.labels if label.priority != "none"]
    others = [label.abbreviation for label in manifest.labels if label.priority == "none"]
    pooled = "" if pooling.kind == "none" else f", the mean of {pooling.windows} windows {spec.hop_s:g} s apart"
    return (
        f"ECG-NAT on windows of {spec.window_s:g} s at {spec.sample_rate_hz:g} Hz, 0.5 Hz high-passed, any of the 12 "
        f"leads from one up{pooled}. Outputs that alarm: {', '.join(alarms)}. Others: {', '.join(others)}."
    )


def put_section(card: str, title: str, body: str) -> str:
    """Return a card with this section, in place of one of the same title, or else before its weaknesses."""
    section = f"{title}\n\n{body}\n\n"
    # Up to the next heading of the same level, or the end.
    old = re.compile(re.escape(title) + r"\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if old.search(card):
        return old.sub(lambda _: section, card)
    before, heading, after = card.partition("## Known weaknesses")
    return f"{before}{section}{heading}{after}" if heading else f"{card.rstrip()}\n\n{section}"


def _weaknesses(choices: Sequence[Choice]) -> str:
    if not choices:
        return _WEAKNESSES
    weak = [f"{c.label} ({c.found} of {c.positive})" for c in choices if c.positive and c.found < c.positive / 2]
    missed = "- Found in fewer than half of the validation windows that have it: " + (", ".join(weak) or "none") + "."
    return f"{_WEAKNESSES}\n{_ALARM_WEAKNESSES}\n{missed}"


def _metrics(manifest: Manifest) -> str:
    rows = ["| figure | value | 95% interval |", "|---|---|---|"]
    for metric in manifest.metrics:
        interval = f"{metric.ci95[0]:.3f} to {metric.ci95[1]:.3f}" if metric.ci95 else ""
        rows.append(f"| {metric.name} | {metric.value:.4f} | {interval} |")
    protocols = dict.fromkeys(metric.protocol for metric in manifest.metrics)
    return "\n".join(rows) + "\n\n" + "\n".join(f"- {text}." for text in protocols)


def _thresholds(choices: Sequence[Choice]) -> str:
    rule = (
        f"A label with an alarm has the lowest threshold that at most {SINUS_RATE:.1%} of the sinus windows without "
        "it reach, none for an alarm of high priority (PVC, PAC, BIGEMINY and TRIGEMINY: sinus windows without any "
        f"premature beat) and that gives a precision of at least {PRECISION:.0%} (where 20 or more windows have the "
        "label; where none gives it, at least the threshold of the best F1), "
        f"within {FLOOR} and {CEILING}; a label without one has the threshold of the best F1. Windows: the validation "
        "parts of all sets, PTB-XL's also as lead I alone and lead II alone."
    )
    rows = [
        "| label | threshold | sinus windows above | found | other false |",
        "|---|---|---|---|---|",
        *(
            f"| {c.label} | {c.threshold:.3f} | {c.sinus_above} of {c.sinus_windows} | {c.found} of {c.positive} "
            f"| {c.false - c.sinus_above} |"
            for c in choices
        ),
    ]
    return rule + "\n\n" + "\n".join(rows)
