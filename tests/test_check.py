"""The check names every fault of a submission at once, and a good submission has none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.leaderboard.check import check_submission, prediction_digest
from pipeline.leaderboard.form import Form
from pipeline.leaderboard.render import render

PETS = ("cat", "dog", "eel")
IDS = ("007", "008", "009", "010")
LABEL = Form(("id", "label"), IDS, "label", PETS, labels=PETS)
NUMBER = Form(("id", "label"), IDS, "label", PETS, labels=("1", "2", "3"), written="1-based number")
PROBS = Form(("id", "eel", "cat", "dog"), IDS, "probs", PETS, column_of=(1, 2, 0))
BINARY = Form(("id", "p"), IDS, "binary", ("no", "yes"))
TOPK = Form(("id", "labels"), IDS, "topk", PETS, labels=PETS, k=2)
GOOD = b"id,label\n007,cat\n008,dog\n009,eel\n010,cat\n"


def test_a_good_submission_of_each_kind_has_no_fault():
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2]])
    for form in (LABEL, NUMBER, PROBS, TOPK):
        verdict = check_submission(render(form, IDS, probs.argmax(1), probs), form)
        assert (verdict.faults, verdict.warnings) == ((), ())
        assert verdict.class_counts == {"cat": 2, "dog": 1, "eel": 1}
    binary = check_submission(render(BINARY, IDS, None, probs[:, :2]), BINARY)
    assert (binary.faults, binary.class_counts) == ((), {"no": 3, "yes": 1})


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        (b"\xef\xbb\xbf" + GOOD, ["byte order mark"]),
        (GOOD.replace(b"id,label", b"id,Label"), ["the header is 'id,Label', the sample's 'id,label'"]),
        (b"Unnamed: 0,id,label\n0,007,cat\n1,008,dog\n2,009,eel\n3,010,cat\n", ["index=False"]),
        (
            b"label,id\n",
            ["the same columns in another order", "0 rows, the sample has 4", "4 ids are missing"],
        ),
        (GOOD[:-8], ["3 rows, the sample has 4", "1 ids are missing: '010'"]),
        (GOOD + b"011,cat\n", ["5 rows", "1 ids are not in the sample: '011'"]),
        (GOOD + b"007,cat\n", ["5 rows", "1 ids are there again: '007'"]),
        (
            b"id,label\n7,cat\n8.0,dog\n009,eel\n010,cat\n",
            ["2 ids lost their form: '7' was '007', '8.0' was '008'"],
        ),
        (
            GOOD.replace(b"eel", b"").replace(b"dog", b"nan"),
            ["2 predictions are empty: '008': 'nan', '009': ''"],
        ),
        (GOOD.replace(b"eel", b"cow"), ["1 labels are none of the classes: '009': 'cow'"]),
        (GOOD.replace(b"eel", b"2"), ["1 labels are not written as the sample's (class name): '009': '2'"]),
        (GOOD.replace(b"eel", b"eel,1"), ["line 4: 3 cells", "1 ids are missing: '009'"]),
        (GOOD.replace(b"eel", b"\xff"), ["no UTF-8"]),
        (GOOD.replace(b"eel", b"\0"), ["NUL"]),
        (b"", ["no rows"]),
    ],
)
def test_label_faults_are_named_with_their_rows(data, faults):
    found = check_submission(data, LABEL).faults
    for fault in faults:
        assert any(fault in line for line in found), (fault, found)


def test_all_faults_come_at_once():
    data = b"\xef\xbb\xbfID,label\n7,cat\n008,\n008,cow\n011,1\n"
    assert len(check_submission(data, LABEL).faults) == 9


def test_other_numbering_is_told_from_a_strange_label():
    faults = check_submission(b"id,label\n007,0\n008,dog\n009,3.0\n010,cow\n", NUMBER).faults
    assert any("(1-based number): '007': '0', '008': 'dog', '009': '3.0'" in fault for fault in faults)
    assert any("none of the classes: '010': 'cow'" in fault for fault in faults)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("nan,.5,.5", "not finite or no numbers: '008'"),
        ("inf,.5,.5", "not finite or no numbers: '008'"),
        (",.5,.5", "not finite or no numbers: '008'"),
        ("x,.5,.5", "not finite or no numbers: '008'"),
        ("-.1,.6,.5", "outside 0 to 1: '008': -0.1 to 0.6"),
        (".5,.5,.5", "don't sum to 1: '008': 1.5000"),
    ],
)
def test_probability_faults(cell, fault):
    rows = ["007,.2,.3,.5", f"008,{cell}", "009,.2,.3,.5", "010,.2,.3,.5"]
    [found] = check_submission(("id,eel,cat,dog\n" + "\n".join(rows)).encode(), PROBS).faults
    assert fault in found


def test_too_many_labels_in_a_cell():
    data = b"id,labels\n007,cat dog eel\n008,cat\n009,dog cat\n010,cat dog\n"
    verdict = check_submission(data, TOPK)
    assert verdict.faults == ("1 cells hold over 2 labels: '007': 3",)


def test_the_sample_itself_is_no_submission():
    reordered = b"id,label\n010,cat\n009,eel\n008,dog\n007,cat\n"
    assert check_submission(GOOD, LABEL, sample_bytes=reordered).faults == (
        "it is the sample submission itself",
    )
    assert check_submission(GOOD, LABEL, sample_bytes=GOOD.replace(b"eel", b"dog")).faults == ()
    computed = check_submission(GOOD, LABEL, sample_bytes=reordered, computed=True)
    assert computed.faults == ()
    assert "its predictions are those of the sample submission" in computed.warnings


def test_odd_class_shares_and_row_order_are_warnings():
    ids = tuple(f"{i:04d}" for i in range(1000))
    form = Form(("id", "label"), ids, "label", PETS, labels=PETS)
    labels = np.arange(1000) % 2
    fine = check_submission(render(form, ids, labels, None), form, [0.5, 0.5, 0.0])
    assert fine.warnings == ()
    shifted = check_submission(render(form, ids, labels, None), form, [0.3, 0.5, 0.2])
    assert shifted.faults == ()
    assert shifted.warnings[0].startswith("2 classes have shares far from the out-of-fold ones: 'cat' 50.0%")
    single = check_submission(render(form, ids, 0 * labels, None), form, [0.3, 0.5, 0.2])
    assert single.warnings == ("all 1000 rows are predicted as 'cat'",)
    other_order = check_submission(
        GOOD.replace(b"007", b"x").replace(b"008", b"007").replace(b"x", b"008"), LABEL
    )
    assert other_order.warnings == ("its rows are in another order than the sample's",)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_check(data):
    for form in (LABEL, PROBS, BINARY, TOPK):
        assert check_submission(data, form, sample_bytes=GOOD).faults


@given(st.permutations(range(4)))
def test_the_digest_sees_predictions_not_their_order(order):
    lines = GOOD.decode().splitlines()
    shuffled = "\r\n".join([lines[0], *(lines[1:][i] for i in order)]).encode()
    assert prediction_digest(shuffled) == prediction_digest(GOOD)
    assert prediction_digest(shuffled.replace(b"eel", b"dog")) != prediction_digest(GOOD)
