"""Statements that cannot both be true are found; reports that agree raise nothing."""

import csv

import numpy as np
import pytest
from paths import SHARED
from phantom_findings import random_findings

from data_prep.phantom.report import write_report
from model.report_text.contradictions import contradictions

OPENI = SHARED / "data" / "openi" / "indiana_reports.csv"


@pytest.mark.parametrize(
    ("findings", "impression", "message"),
    [
        ("There is a large left effusion.", "Moderate-sized left effusion.", "another size"),
        ("Small pneumothorax on the right.", "Large right pneumothorax.", "another size"),
        ("Mild cardiomegaly.", "Severe cardiomegaly.", "another size"),
        ("There is a left pleural effusion.", "Right pleural effusion.", "on the right here"),
        ("Opacity in the left upper lobe.", "Right upper lobe opacity.", "on the right here"),
        ("There is a pleural effusion.", "No pleural effusion.", "is denied here"),
        ("No pneumothorax.", "Tiny right pneumothorax.", "is denied here"),
        ("There is no focal consolidation. Opacity in the left mid lung.", "Opacity.", "is denied"),
        ("Right upper lobe opacity. No focal consolidation.", "None.", "is denied"),
        ("The heart is enlarged. There is cardiomegaly.", "No cardiomegaly.", "is denied"),
        ("The heart is enlarged.", "Normal heart size.", "is said here"),
        ("Heart size is normal.", "Cardiomegaly.", "is said here"),
        ("Both lungs are clear.", "Bibasilar opacities.", "is said here"),
        ("Lungs are clear. A 5 mm right apical nodule.", "Nodule.", "is said here"),
    ],
)
def test_a_contradiction_is_found(findings: str, impression: str, message: str) -> None:
    found = contradictions(f"Findings: {findings} Impression: {impression}")
    assert found and message in found[0].message


@pytest.mark.parametrize(
    ("findings", "impression"),
    [
        ("There is a large left effusion.", "Large left effusion."),
        ("Small right and large left effusions.", "Large left effusion. Small right effusion."),
        ("Small to moderate left effusion.", "Moderate left effusion."),
        ("Small left effusion.", "Left effusion."),
        ("Small left effusion.", "Bilateral effusions."),
        ("Possible left effusion.", "No effusion."),
        ("Small left effusion. No right effusion.", "Left effusion."),
        ("Linear opacity at the left base. No focal consolidation.", "Atelectasis."),
        ("Bibasilar atelectasis. No focal consolidation.", "Atelectasis."),
        ("No large effusion. Small left effusion.", "Small left effusion."),
        ("No new consolidation. Right upper lobe opacity.", "Right upper lobe opacity."),
    ],
)
def test_what_agrees_is_not_flagged(findings: str, impression: str) -> None:
    assert contradictions(f"Findings: {findings} Impression: {impression}") == ()


def test_phantom_reports_raise_no_alarm() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        text, _ = write_report(random_findings(rng), rng)
        assert contradictions(text) == (), text


def test_few_real_reports_raise_an_alarm() -> None:
    """Of 3,851 reports of Open-i; those that do were read and nearly all contradict themselves."""
    if not OPENI.exists():
        pytest.skip(f"{OPENI} is absent")
    with OPENI.open(encoding="utf-8", newline="") as lines:
        reports = [
            f"Findings: {row['findings']} Impression: {row['impression']}"
            for row in csv.DictReader(lines)
        ]
    flagged = sum(bool(contradictions(text)) for text in reports)
    assert 0 < flagged <= 0.02 * len(reports)
