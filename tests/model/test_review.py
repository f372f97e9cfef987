"""What is flagged: each check alarms where report and looks disagree, and keeps still elsewhere."""

import re

import numpy as np
import pytest
from tiny import tiny_config

from model.findings import named_findings
from model.heatmap import Word
from model.review import LEAST_EVIDENCE, Flag, review

WORD = re.compile(r"[^\W_]+")
SHAPE = (1, 4, 4)


def told(
    text: str,
    column: int | None = 0,
    evidence: float = 3.0,
    images: int = 1,
    image: int = 0,
) -> list[Word]:
    """Every word of a text, all looking at one column of one image; None: at the sink."""
    words = []
    for match in WORD.finditer(text):
        heatmap = np.zeros((images, 4, 4), np.float32)
        if column is not None:
            heatmap[image, 1, column] = 0.8
        state = "not grounded" if column is None else "grounded"
        words.append(Word(match.group(), match.start(), match.end(), 0.9, evidence, state, heatmap))
    return words


def flags(
    text: str,
    words: list[Word] | None = None,
    views: tuple[str | None, ...] = ("PA",),
    ended: bool = True,
    priors: tuple[bool, ...] = (False,),
) -> list[Flag]:
    words = told(text) if words is None else words
    findings = named_findings(text, words, (len(views), 4, 4), tiny_config())
    rows, columns = words[0].heatmap.shape[1:] if words else SHAPE[1:]
    halves = (np.sign(columns - 1 - 2 * np.arange(columns)) + 1) / 2
    right = np.tile(halves.astype(np.float32), (rows, 1))
    sides = [None if view == "LATERAL" else right for view in views]
    found = review(text, words, findings, sides, priors, ended)
    assert all(0 <= flag.start <= flag.end <= len(text) for flag in found)
    assert list(found) == sorted(found, key=lambda flag: flag.start)
    return list(found)


def codes(*args, **kwargs) -> list[str]:
    return [flag.code for flag in flags(*args, **kwargs)]


@pytest.mark.parametrize(
    ("side", "column", "expected"),
    [
        # The patient's right lies on the image's left.
        ("right", 0, []),
        ("right", 1, []),
        ("right", 2, ["side"]),
        ("right", 3, ["side"]),
        ("left", 0, ["side"]),
        ("left", 3, []),
        ("bilateral", 3, []),
        ("", 3, []),
    ],
)
def test_a_side_is_where_the_map_lies(side, column, expected) -> None:
    text = f"There is a {side} pleural effusion."
    assert codes(text, told(text, column)) == expected


def test_a_wrong_side_says_what_was_measured() -> None:
    text = "Small left pneumothorax."
    [flag] = flags(text, told(text, 0))
    assert text[flag.start : flag.end] == "pneumothorax"
    assert "says left" in flag.message
    assert "100%" in flag.message
    assert "patient's right" in flag.message


@pytest.mark.parametrize(("share", "expected"), [(0.3, ["side"]), (0.4, []), (0.5, [])])
def test_what_ends_at_the_midline_does_not_alarm(share, expected) -> None:
    text = "Right central venous catheter."
    words = told(text)
    for word in words:
        word.heatmap[:] = 0
        word.heatmap[0, 1, 1], word.heatmap[0, 1, 2] = share, 1 - share
    assert codes(text, words) == expected


def test_the_middle_of_odd_columns_is_on_both_sides() -> None:
    text = "Right pneumothorax."
    words = [
        Word(
            w.text, w.start, w.end, 0.9, 3.0, "grounded", np.eye(5, dtype=np.float32)[2][None, None]
        )
        for w in told(text)
    ]
    assert codes(text, words) == []


def test_a_finding_said_of_both_sides_one_after_another_has_no_wrong_side() -> None:
    text = "Opacities in the right upper and left lower lung."
    assert codes(text, told(text, 0)) == []


def test_a_lateral_image_tells_no_side() -> None:
    text = "Small left effusion."
    assert codes(text, told(text, 0), views=("LATERAL",)) == []
    views = ("LATERAL", None)
    assert codes(text, told(text, 0, images=2, image=0), views=views) == []
    assert codes(text, told(text, 0, images=2, image=1), views=views) == ["side"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Heart size is unchanged.", ["unchanged"]),
        ("No effusion compared to the prior study.", ["compared to", "prior study"]),
        ("Effusion is no longer seen.", ["no longer"]),
        ("The opacity has increased.", ["has increased"]),
        ("Interval development of edema.", ["Interval development"]),
        ("The opacity is new.", ["is new"]),
        ("Stable cardiomegaly.", ["Stable"]),
        ("Again noted is a pacemaker.", ["Again noted"]),
        ("No new opacity.", []),
        ("Interstitial markings are increased.", []),
        ("The right lung is clear compared to the left.", []),
        ("Lungs are clear. Heart size is normal.", []),
    ],
)
def test_words_of_comparison_are_flagged_where_no_prior_was_given(text, words) -> None:
    found = [flag for flag in flags(text) if flag.code == "prior"]
    assert [text[flag.start : flag.end] for flag in found] == words
    given = flags(text, views=("PA", "PA"), priors=(False, True))
    assert "prior" not in [flag.code for flag in given]


def test_a_finding_without_evidence_is_flagged() -> None:
    text = "Heart size is normal. There is a hiatal hernia."
    [flag] = flags(text, told(text, evidence=0.0))
    assert (flag.code, text[flag.start : flag.end]) == ("evidence", "hiatal hernia")
    assert "0.00 nats" in flag.message
    enough = LEAST_EVIDENCE / 5 + 0.01  # five words speak of it
    assert codes(text, told(text, evidence=enough)) == []
    assert codes(text, told(text, evidence=enough - 0.02)) == ["evidence"]


def test_what_the_impression_repeats_needs_no_evidence_of_its_own() -> None:
    text = "Findings: Small left effusion. Impression: Left effusion."
    words = [
        Word(*(w.text, w.start, w.end, 0.9, 3.0 if w.start < 30 else 0.0, w.state, w.heatmap))
        for w in told(text, 3)
    ]
    assert codes(text, words) == []


def test_a_finding_that_looks_nowhere_is_flagged() -> None:
    text = "There is a nodule."
    [flag] = flags(text, told(text, None))
    assert flag.code == "evidence"
    assert "no place" in flag.message


def test_denials_need_no_evidence() -> None:
    text = "No pleural effusion or pneumothorax. The heart is not enlarged."
    assert codes(text, told(text, None, 0.0)) == []


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("Small left pleural effusion. No pleural effusion.", ["pleural effusion"]),
        ("No pneumothorax or effusions. Small left effusion.", ["effusions"]),
        ("Small left effusion. No right effusion.", []),
        ("Small left effusion. No left effusion.", ["effusion"]),
        ("Small left effusion. No large effusion.", []),
        ("Right opacity. No focal consolidation.", ["consolidation"]),
        ("Linear right opacity. No focal consolidation.", []),
        ("Possible left effusion. No effusion.", []),
        ("Left rib fracture. No displaced rib fracture.", []),
        ("Small left effusion. No change in the effusion.", []),
        ("Left lower lobe opacity. No opacity in the upper lobe.", []),
    ],
)
def test_what_is_asserted_and_denied_is_flagged(text, denied) -> None:
    words = told(text)
    for word in words:
        word.heatmap[:] = 0.05
    found = [flag for flag in flags(text, words) if flag.code == "contradiction"]
    assert [text[flag.start : flag.end] for flag in found] == denied


def test_a_text_that_was_cut_is_flagged() -> None:
    text = "Lungs are clear. There is"
    [flag] = flags(text, told(text), ended=False)
    assert (flag.code, text[flag.start : flag.end]) == ("cut", "is")
    assert [flag.code for flag in flags("", [], ended=False)] == ["cut"]


def test_a_normal_report_has_nothing_to_check() -> None:
    text = (
        "Findings: Heart size is normal. No focal consolidation, pleural effusion or pneumothorax. "
        "Impression: No acute cardiopulmonary abnormality."
    )
    assert codes(text, told(text, None, 0.0)) == []
