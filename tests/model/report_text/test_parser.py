"""Laws of the reader: what a report asserts is found with its place, what it denies is not."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import SHARED
from phantom_findings import random_findings

from data_prep.manifest import Finding
from data_prep.phantom.report import ReportContext, write_report
from model.report_text.parser import Assertion, read_findings, sentences

# text -> "name side zone" of everything it asserts, "-" for none, "?" after what is doubted.
SENTENCES: dict[str, set[str]] = {
    # plain assertions
    "Small left pleural effusion.": {"pleural_effusion left -"},
    "There is a large right pneumothorax.": {"pneumothorax right -"},
    "Tiny left apical pneumothorax.": {"pneumothorax left -"},
    "Moderate cardiomegaly.": {"cardiomegaly - -"},
    "The heart is mildly enlarged.": {"cardiomegaly - -"},
    "Heart size moderately enlarged for technique.": {"cardiomegaly - -"},
    "The cardiac silhouette remains enlarged.": {"cardiomegaly - -"},
    "Enlarged cardiac silhouette.": {"cardiomegaly - -"},
    "Mild pulmonary edema with vascular congestion.": {"edema - -"},
    "Linear atelectasis at the left lung base.": {"atelectasis left lower"},
    "Volume loss in the right upper lobe.": {"atelectasis right upper"},
    "A 9 mm nodule projects over the right upper lobe.": {"nodule right upper"},
    "Vague nodular opacity in the left mid lung.": {"nodule left mid"},
    "Large mass in the right lower lobe.": {"nodule right lower"},
    "Acute fracture of the left lateral sixth rib.": {"rib_fracture left -"},
    "Fractures of the right fifth, sixth and seventh ribs.": {"rib_fracture right -"},
    "Left lower rib fractures.": {"rib_fracture left lower"},
    "The lungs are hyperexpanded with flattening of the diaphragms.": {"hyperinflation - -"},
    "Emphysema.": {"hyperinflation - -"},
    "Large hiatal hernia is noted.": {"hiatal_hernia - -"},
    "ET tube terminates 3.5 cm above the carina.": {"endotracheal_tube - -"},
    "Left chest wall AICD with leads in the right atrium and right ventricle.": {
        "pacemaker left -"
    },
    "Right IJ central venous catheter with tip in the right atrium.": {"central_line right -"},
    "Left PICC line tip in the mid SVC.": {"central_line left -"},
    "Right middle lobe consolidation.": {"opacity right mid"},
    "Patchy infiltrate in the lingula.": {"opacity left mid"},
    "Retrocardiac opacity on the left.": {"opacity left lower"},
    # both sides and several places
    "Bilateral pleural effusions, larger on the right.": {"pleural_effusion left+right -"},
    "Small right and large left pleural effusions.": {"pleural_effusion left+right -"},
    "Small effusions are seen bilaterally.": {"pleural_effusion left+right -"},
    "Bibasilar atelectasis, left greater than right.": {"atelectasis left+right lower"},
    "Opacities in both lower lobes.": {"opacity left+right lower"},
    "Opacities in the right upper and left lower lung zones.": {
        "opacity right upper",
        "opacity left lower",
    },
    "Right upper and lower lobe opacities.": {"opacity right upper", "opacity right lower"},
    "Right and left lower lobe opacities.": {"opacity left+right lower"},
    "Bilateral opacities, in the right upper and left lower zones.": {
        "opacity right upper",
        "opacity left lower",
    },
    "Small left effusion and patchy right basilar opacity.": {
        "pleural_effusion left -",
        "opacity right lower",
    },
    "Opacity at the right base and small left effusion.": {
        "opacity right lower",
        "pleural_effusion left -",
    },
    # one finding explained by another
    "Blunting of the left costophrenic angle, consistent with a small effusion.": {
        "pleural_effusion left -"
    },
    "Left basilar opacity, likely atelectasis.": {"opacity left lower", "atelectasis left lower ?"},
    "Right lower lobe opacity may represent pneumonia or aspiration.": {
        "opacity right lower",
        "opacity right lower ?",
    },
    "Small right effusion with adjacent atelectasis.": {
        "pleural_effusion right -",
        "atelectasis right -",
    },
    # doubt
    "Possible small left effusion.": {"pleural_effusion left - ?"},
    "A small left pneumothorax cannot be excluded.": {"pneumothorax left - ?"},
    "Cannot exclude a small left effusion.": {"pleural_effusion left - ?"},
    "Superimposed pneumonia is difficult to exclude.": {"opacity - - ?"},
    "Findings suggestive of mild interstitial edema.": {"edema - - ?"},
    "Borderline cardiomegaly.": {"cardiomegaly - - ?"},
    # denials
    "No focal consolidation, pleural effusion or pneumothorax.": set(),
    "No pneumothorax, large pleural effusion, or focal consolidation.": set(),
    "There is no evidence of pulmonary edema.": set(),
    "No definite focal airspace disease, pneumothorax, or effusions identified.": set(),
    "Lungs are clear without focal consolidation or effusion.": set(),
    "The lungs are free of focal airspace disease.": set(),
    "Negative for pneumothorax, pleural effusion or focal airspace consolidation.": set(),
    "Neither pneumothorax nor pleural effusion is seen.": set(),
    "Pneumothorax is not seen.": set(),
    "Pleural effusion and pneumothorax are absent.": set(),
    "Focal consolidation, pneumothorax, and effusion are not identified.": set(),
    "The previously seen left effusion has resolved.": set(),
    "Interval resolution of the right pneumothorax.": set(),
    "The endotracheal tube has been removed.": set(),
    "Interval removal of the left central line.": set(),
    "The heart is not enlarged.": set(),
    "No displaced rib fractures.": set(),
    "Effusion is unlikely.": set(),
    "Pneumothorax: none.": set(),
    "The findings do not suggest pneumonia.": set(),
    # what only sounds like a finding
    "The heart is normal in size.": set(),
    "Heart size is at the upper limits of normal.": set(),
    "Costophrenic angles are sharp.": set(),
    "Low lung volumes with bronchovascular crowding.": set(),
    "Degenerative changes of the thoracic spine.": set(),
    "No acute cardiopulmonary abnormality.": set(),
    "Small pericardial effusion.": set(),
    "Subcutaneous emphysema.": set(),
    "There is no mass effect.": set(),
    "Overlap in the apices could obscure a small nodule.": set(),
    # asked or past, not found
    "Indication: Rule out pneumonia. Findings: The lungs are clear.": set(),
    "History: COPD, effusion. Impression: Normal chest.": set(),
    "Patient has a history of pneumonia.": set(),
    "If there is clinical warning for rib fracture, dedicated views are advised.": set(),
    # where a denial ends
    "No pneumothorax, small left effusion.": {"pleural_effusion left -"},
    "No pneumothorax and a small left pleural effusion.": {"pleural_effusion left -"},
    "No focal consolidation, but there is a small right effusion.": {"pleural_effusion right -"},
    "Small right pleural effusion without pneumothorax.": {"pleural_effusion right -"},
    "No change in the small left effusion.": {"pleural_effusion left -"},
    "Left effusion has not significantly changed.": {"pleural_effusion left -"},
    "No right effusion. Small left effusion.": {"pleural_effusion left -"},
    "Small right effusion and no left effusion.": {"pleural_effusion right -"},
    "No pneumothorax is seen with stable cardiomegaly.": {"cardiomegaly - -"},
    "There is a small left effusion and pneumothorax is not seen.": {"pleural_effusion left -"},
    "Right base atelectasis rather than pneumonia.": {"atelectasis right lower"},
    "No edema; left lower lobe pneumonia.": {"opacity left lower"},
    "IMPRESSION:\n1. Small left effusion.\n2. No pneumothorax.\n": {"pleural_effusion left -"},
}


def spelled(assertion: Assertion) -> str:
    doubt = " ?" if assertion.certainty == "possible" else ""
    sides = "+".join(sorted(assertion.sides)) or "-"
    return f"{assertion.name} {sides} {assertion.zone or '-'}{doubt}"


@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_is_read_as_a_radiologist_means_it(text: str) -> None:
    assert {spelled(assertion) for assertion in read_findings(text)} == SENTENCES[text]


def told(findings: list[Finding]) -> set[tuple[str, str | None, str | None]]:
    return {(finding.name, finding.side, finding.zone) for finding in findings}


def read(text: str) -> set[tuple[str, str | None, str | None]]:
    """Every (name, side, zone) asserted; a mention without a place adds nothing to one with."""
    found = {(a.name, side, a.zone) for a in read_findings(text) for side in a.sides or {None}}
    placed = {name for name, side, _ in found if side}
    return {place for place in found if place[1] or place[0] not in placed}


def test_findings_of_a_phantom_report_are_recovered_exactly() -> None:
    rng = np.random.default_rng(20)
    wrong = []
    for _ in range(1500):
        findings = random_findings(rng)
        text, _ = write_report(findings, rng, ReportContext(low_inspiration=rng.random() < 0.3))
        if read(text) != told(findings):
            wrong.append((text, told(findings) ^ read(text)))
    assert not wrong, wrong[:3]


def test_words_that_name_a_finding_leave_out_the_rest() -> None:
    text = "The heart is mildly enlarged. Blunting of the left costophrenic angle."
    words = [text[start:end] for a in read_findings(text) for start, end in a.words]
    assert words == ["heart", "enlarged", "Blunting", "costophrenic", "angle"]


def test_spans_lie_on_the_text_after_headings_and_lines() -> None:
    text = "Findings: Clear lungs.\n\nImpression: Small left pleural effusion. No pneumothorax."
    assertions = read_findings(text)
    assert [text[a.start : a.end] for a in assertions] == ["pleural effusion"]


JUMBLE = re.findall(
    r"\S+|\n",
    "no without the of and or , . ; : heart size is not enlarged costophrenic angle blunting right"
    " left bilateral upper lower lobe opacity nodule effusion pneumothorax rib fracture cannot be"
    " excluded likely may represent resolved change significant Findings: Impression: 1. \n",
)


@given(st.lists(st.sampled_from(JUMBLE), max_size=200))
def test_any_jumble_of_words_is_read_with_spans_inside_the_text(words: list[str]) -> None:
    text = " ".join(words)
    for assertion in read_findings(text):
        assert 0 <= assertion.start < assertion.end <= len(text)
        assert assertion.words
        for start, end in assertion.words:
            assert assertion.start <= start < end <= assertion.end


def test_case_does_not_matter() -> None:
    for text, expected in list(SENTENCES.items())[:40]:
        assert {spelled(assertion) for assertion in read_findings(text.upper())} == expected


def test_real_reports_that_only_deny_are_read_as_normal() -> None:
    path = SHARED / "data/openi/annotation.json"
    if not path.is_file():
        pytest.skip("no Open-i annotation.json beside the project: real reports not read")
    reports = [
        study["report"] for split in json.loads(path.read_text()).values() for study in split
    ]
    normal = [r for r in reports if "lungs are clear" in r.lower() and "heart" in r.lower()]
    acute = {"opacity", "pleural_effusion", "pneumothorax", "edema"}
    wrong = [r for r in normal if acute & {a.name for a in read_findings(r)}]
    assert len(normal) > 500
    assert len(wrong) <= 0.03 * len(normal), wrong[:5]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("The\nlungs are clear. No effusion", ["The\nlungs are clear.", "No effusion"]),
        ("There is a right\nPICC line.", ["There is a right\nPICC line."]),
        ("Lungs are clear\nHeart is normal", ["Lungs are clear", "Heart is normal"]),
        ("1. No effusion\n2. Nodule", ["1. No effusion", "2. Nodule"]),
        ("findings: clear.Normal heart, 1.5 cm a.p.", ["clear.", "Normal heart, 1.5 cm a.p."]),
    ],
)
def test_a_wrapped_line_is_no_end_of_a_sentence(text: str, cut: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == cut
