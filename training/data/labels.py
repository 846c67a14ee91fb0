"""The outputs of the network: 22 product labels, then the 71 SCP statements of PTB-XL.

The product labels carry the settings of the alarms. Their thresholds are placeholders that calibration replaces.
`training.data.sets` describes which labels each data set has, and which it leaves unknown.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Label, Priority
from training.data.statements import SCP_STATEMENTS

_SCP_PREFIX = "SCP_"
_TOPIC_SAFE = str.maketrans({"/": "_", "(": "_", ")": None})  # a label's abbreviation may stand in a topic


def statement_name(code: str) -> str:
    """Return the abbreviation of the output for an SCP statement, such as `SCP_LAO_LAE` for `LAO/LAE`."""
    return _SCP_PREFIX + code.translate(_TOPIC_SAFE)


def _alarm(
    abbreviation: str, name: str, snomed: str, priority: Priority, on_delay_s: float, off_delay_s: float
) -> Label:
    return Label(
        abbreviation=abbreviation,
        name=name,
        snomed=snomed,
        priority=priority,
        on_delay_s=on_delay_s,
        off_delay_s=off_delay_s,
    )


# SNOMED CT codes as in the tables of the PhysioNet/CinC Challenges 2020 and 2021.
# Delays: ventricular tachycardia kills, so it alarms at once. A rhythm alarms after seconds, a conduction disorder
# only when it stays.
PRODUCT_LABELS = (
    Label(abbreviation="SR", name="sinus rhythm", snomed="426783006"),
    _alarm("AF", "atrial fibrillation", "164889003", "medium", 5.0, 10.0),
    _alarm("AFL", "atrial flutter", "164890007", "none", 5.0, 10.0),
    _alarm("SVT", "supraventricular tachycardia", "426761007", "medium", 2.0, 5.0),
    _alarm("VT", "ventricular tachycardia or flutter", "164895002", "high", 0.0, 5.0),
    _alarm("PVC", "premature ventricular contraction", "427172004", "low", 0.0, 5.0),
    _alarm("PAC", "premature atrial contraction", "284470004", "low", 0.0, 5.0),
    _alarm("BIGEMINY", "ventricular bigeminy", "11157007", "low", 3.0, 10.0),
    _alarm("TRIGEMINY", "ventricular trigeminy", "251180001", "low", 3.0, 10.0),
    _alarm("SBRAD", "sinus bradycardia", "426177001", "medium", 5.0, 10.0),
    _alarm("STACH", "sinus tachycardia", "427084000", "medium", 5.0, 10.0),
    _alarm("AVB1", "first-degree atrioventricular block", "270492004", "none", 20.0, 30.0),
    _alarm("LBBB", "left bundle branch block", "164909002", "none", 20.0, 30.0),
    _alarm("RBBB", "right bundle branch block", "59118001", "none", 20.0, 30.0),
    _alarm("PACED", "paced rhythm", "10370003", "low", 20.0, 30.0),
    Label(abbreviation="OTHER", name="another abnormal rhythm"),
    Label(
        abbreviation="NOISE",
        name="signal too noisy to read",
        priority="low",
        kind="technical",
        on_delay_s=5.0,
        off_delay_s=5.0,
    ),
    Label(abbreviation="NORM", name="normal ECG"),
    Label(abbreviation="MI", name="myocardial infarction"),
    Label(abbreviation="STTC", name="ST or T wave change"),
    Label(abbreviation="CD", name="conduction disturbance"),
    Label(abbreviation="HYP", name="hypertrophy"),
)
STATEMENT_LABELS = tuple(
    Label(abbreviation=statement_name(code), name=description) for code, description in SCP_STATEMENTS.items()
)
LABELS = PRODUCT_LABELS + STATEMENT_LABELS
NAMES = tuple(label.abbreviation for label in LABELS)
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
INDEX = {name: index for index, name in enumerate(NAMES)}


class WindowLabels:
    """The labels of one window: each holds, does not hold, or is unknown. The loss skips unknown labels.

    `target` and `known` are (labels,) uint8. `target` is 1 where the label holds; `known` is 1 where the data set says
    whether it holds.
    """

    def __init__(self) -> None:
        self.target: NDArray[np.uint8] = np.zeros(len(LABELS), np.uint8)
        self.known: NDArray[np.uint8] = np.zeros(len(LABELS), np.uint8)

    def set(self, name: str, holds: bool | None) -> None:
        """Set whether a label holds; None: unknown."""
        index = INDEX[name]
        self.target[index] = bool(holds)
        self.known[index] = holds is not None

    def holds(self, name: str) -> bool:
        """Return whether a label is known to hold."""
        return bool(self.target[INDEX[name]])

    def set_absent(self, names: Iterable[str]) -> None:
        """Set that none of these labels holds."""
        for name in names:
            self.set(name, holds=False)
