"""Statements that cannot both be true are found; reports that agree raise nothing."""

import csv

import numpy as np
import pytest
from paths import SHARED
from phantom_findings import random_findings

from data_prep.phantom.report import write_report
from model.report_text.contradictions import contradictions
from model.report_text.parser import read_findings

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
        ("The heart is enlarged.", "Normal heart size.", "is stated here"),
        ("Heart size is normal.", "Cardiomegaly.", "is stated here"),
        ("Both lungs are clear.", "Bibasilar opacities.", "is stated here"),
        ("Lungs are clear. A 5 mm right apical nodule.", "Nodule.", "is stated here"),
        ("Small left pleural effusion.", "No acute cardiopulmonary abnormality.", "is stated here"),
        ("Right pneumothorax.", "No evidence of active disease.", "is stated here"),
        ("Pulmonary edema.", "Negative for acute cardiopulmonary findings.", "is stated here"),
        ("Dense right lower lobe opacity.", "No acute or active chest disease.", "is stated here"),
        ("The heart is enlarged.", "Normal chest radiograph.", "is stated here"),
        ("Displaced left sixth rib fracture.", "No acute osseous abnormality.", "is stated here"),
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
        ("Cardiomegaly. Old rib fractures.", "No acute cardiopulmonary abnormality."),
        ("Streaky basilar opacity, likely scarring.", "No acute findings."),
        ("Unchanged left pleural effusion.", "No acute cardiopulmonary process."),
        ("Small left effusion.", "Small left effusion. Otherwise no acute disease."),
        ("Left effusion. The bones show no acute abnormality.", "Left effusion."),
        ("Left effusion.", "Left effusion. No other acute abnormality."),
        ("Right lower lobe opacity.", "Pneumonia. Normal chest wall."),
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


@pytest.fixture(scope="module")
def real_reports() -> list[tuple[str, str]]:
    """Findings and impressions of Open-i, 3,851 reports."""
    if not OPENI.exists():
        pytest.skip(f"{OPENI} is absent")
    with OPENI.open(encoding="utf-8", newline="") as lines:
        return [(row["findings"], row["impression"]) for row in csv.DictReader(lines)]


def test_few_real_reports_raise_an_alarm(real_reports: list[tuple[str, str]]) -> None:
    """Those that do were read, and nearly all contradict themselves."""
    flagged = sum(
        bool(contradictions(f"Findings: {findings} Impression: {impression}"))
        for findings, impression in real_reports
    )
    print(f"{flagged} of {len(real_reports)} reports are flagged")  # noqa: T201
    assert 0 < flagged <= 0.02 * len(real_reports)


def test_a_normal_summary_of_what_radiologists_reported_is_flagged(
    real_reports: list[tuple[str, str]],
) -> None:
    """Open-i's own findings, with an impression that calls them normal."""
    acute = {"pleural_effusion", "pneumothorax", "edema"}
    texts = [
        f"Findings: {findings} Impression: No acute cardiopulmonary abnormality."
        for findings, _ in real_reports
        if any(f.name in acute and f.certainty == "definite" for f in read_findings(findings))
    ]
    flagged = [text for text in texts if any("No acute" in c.message for c in contradictions(text))]
    print(f"{len(flagged)} of {len(texts)} reports with an acute finding are flagged")  # noqa: T201
    assert len(flagged) > 0.8 * len(texts)
