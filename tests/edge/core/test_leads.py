"""Names of leads as data sets write them."""

import pytest

from edge.core.leads import LEADS, assign_leads, check_leads, lead_index, lead_positions, map_leads

BEDSIDE = "ECG, ECG recorded using bedside monitor, lead II"


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        *[("MLII", "II"), ("ii", "II"), ("AVR", "aVR"), ("avl", "aVL"), ("ECG II", "II"), ("Lead I", "I")],
        *[(" v5 ", "V5"), ("ML2", "II"), ("D2", "II"), ("D3", "III"), ("DIII", "III"), ("MV1", "V1"), ("MCL1", "V1")],
        *[("LeadII", "II"), ("ECG lead II", "II"), ("ECG, lead II", "II"), ("modified lead II", "II")],
        *[("ECG_V2", "V2"), ("lead aVF", "aVF"), (BEDSIDE, "II")],
    ],
)
def test_known_spellings(name, lead):
    assert LEADS[lead_index(name)] == lead


@pytest.mark.parametrize("name", ["resp", "V7", "", "PLETH", "ECG", "ECG1", "V", "MCL", "lead", "leads", "IV", "Vent"])
def test_unknown_names(name):
    assert lead_index(name) is None


@pytest.mark.parametrize("name", ["ECG", "", "val", "EKG", "ECG1"])
def test_a_single_channel_without_a_name_counts_as_lead_i(name):
    assert lead_positions([name]) == (0,)
    assert lead_positions(["resp"]) == (None,)


@pytest.mark.parametrize(
    ("names", "leads"),
    [
        (["ECG1", "ECG2"], ["II", "V1"]),
        (["ECG", "ECG"], ["II", "V1"]),
        (["ecg 1", "ecg 2"], ["II", "V1"]),
        (["RESP", "ECG"], [None, "II"]),
        (["ECG2", "ECG1"], ["V1", "II"]),
        (["II", "V"], ["II", "V1"]),
        (["MCL"], ["V1"]),
        (["V"], ["V1"]),
        (["ECG", "ECG", "ECG"], ["II", "V1", None]),
        (["ECG", BEDSIDE], [None, "II"]),  # a real II comes first
        (["V", "V1"], [None, "V1"]),
        (["ECG1", "ECG2", "MLII"], [None, "V1", "II"]),
        (["III", "ECG"], ["III", "II"]),
    ],
)
def test_defaults_of_channels_whose_name_tells_no_lead(names, leads):
    assert [None if place is None else LEADS[place] for place in lead_positions(names)] == leads


def test_defaults_are_told_in_one_line():
    assert assign_leads(["ECG1", "ECG2"]).notice == "ECG1, ECG2 taken for II, V1; --leads says otherwise"
    assert assign_leads([""]).notice == "a channel without a name taken for I; --leads says otherwise"
    assert assign_leads(["MLII", "V5", "resp"]).notice is None


def test_the_first_of_two_channels_with_one_lead_is_used():
    assert lead_positions(["V1", "II", "MLII"]) == (6, 1, None)


def test_a_users_list_goes_by_the_order_of_the_channels():
    assert map_leads(["x", "y", "z"], ["-", "V5"]).positions == (None, 10, None)
    assert map_leads(["ECG1", "ECG2"], ["V1", "MLII"]).positions == (6, 1)


@pytest.mark.parametrize("leads", [["II", "V9"], ["II", "MLII"], ["-"], [], ["II", "V1", "V2"]])
def test_lists_that_cannot_be_meant(leads):
    with pytest.raises(ValueError, match=r"lead"):
        map_leads(["x", "y"], leads)


def test_the_list_is_checked_without_a_record():
    check_leads(["II", "-", "V1"])
    with pytest.raises(ValueError, match="'V9' is not a lead"):
        check_leads(["V9"])
