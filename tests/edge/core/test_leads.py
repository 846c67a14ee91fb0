"""Names of leads as data sets write them."""

import pytest

from edge.core.leads import LEADS, lead_index, lead_positions


@pytest.mark.parametrize(
    ("name", "lead"),
    [("MLII", "II"), ("ii", "II"), ("AVR", "aVR"), ("avl", "aVL"), ("ECG II", "II"), ("Lead I", "I"), (" v5 ", "V5")],
)
def test_known_spellings(name, lead):
    assert LEADS[lead_index(name)] == lead


@pytest.mark.parametrize("name", ["resp", "V7", "", "PLETH", "MCL1"])
def test_unknown_names(name):
    assert lead_index(name) is None


def test_a_single_channel_without_a_name_counts_as_lead_i():
    assert lead_positions(["ECG"]) == lead_positions([""]) == (0,)
    assert lead_positions(["resp"]) == (None,)
    assert lead_positions(["ECG", "resp"]) == (None, None)


def test_the_first_of_two_channels_with_one_lead_is_used():
    assert lead_positions(["V1", "II", "MLII"]) == (6, 1, None)
