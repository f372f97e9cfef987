"""Laws of the occlusion test: what is occluded, what the control may touch, what falls."""

from dataclasses import replace

import numpy as np
import pytest
from grounding_material import saying

from data_prep.manifest import Finding, Image, Phrase, Study
from data_prep.phantom.study import make_phantom
from model.generator import ReportGenerator
from model.report_text.parser import read_findings
from training.grounding.cases import Subject
from training.grounding.occluded_findings import (
    _controls,
    _fell,
    _occluded,
    _Reading,
    _unique,
    first_phrases,
    occlude_findings,
)
from training.teacher_forcing import FRONTAL, Text, text_of

SIZE = 64
REPORT = "Findings: Left effusion. A nodule. Impression: Bilateral effusions."


def _study(nodule: tuple[int, int, int, int] = (40, 8, 48, 16)) -> Study:
    findings = (
        Finding("pleural_effusion", "mild", "left", None, (40, 44, 60, 60)),
        Finding("nodule", "mild", "left", "upper", nodule),
        Finding("pleural_effusion", "mild", "right", None, (4, 44, 24, 60)),
    )

    def phrase(words: str, *which: int) -> Phrase:
        return Phrase(REPORT.index(words), REPORT.index(words) + len(words), which)

    phrases = (
        phrase("Left effusion", 0),
        phrase("A nodule", 1),
        phrase("Bilateral effusions", 0, 2),
    )
    return Study("1", "test", (Image("", SIZE, SIZE, "PA"),), REPORT, findings, phrases)


def subject(text: Text) -> Subject:
    return Subject(0, (), FRONTAL, text, ())


def test_a_case_is_the_first_phrase_of_each_finding() -> None:
    study = _study()
    _, tokenizer = saying([study])
    cases = list(first_phrases(study, text_of(tokenizer, REPORT, 99)))
    assert [[f.name for f in findings] for findings, _ in cases] == [
        ["pleural_effusion"],
        ["nodule"],
        ["pleural_effusion", "pleural_effusion"],
    ]
    repeated = replace(study, phrases=(*study.phrases, study.phrases[1]))
    assert len(list(first_phrases(repeated, text_of(tokenizer, REPORT, 99)))) == 3


def test_on_a_flat_image_nothing_falls() -> None:
    study = _study()
    model, tokenizer = saying([study])
    pixels = [np.full((SIZE, SIZE), 0.3, np.float32)]
    cases = list(
        occlude_findings(model, tokenizer, study, pixels, subject(text_of(tokenizer, REPORT, 99)))
    )
    assert [name for name, _, _ in cases] == ["pleural_effusion", "nodule", "pleural_effusion"]
    assert all(values["fallen"] == 0 for _, _, values in cases)
    assert all(values.get("control_fallen", 0) == 0 for _, _, values in cases)


def test_the_control_is_as_large_and_touches_no_box() -> None:
    study, rng = _study(), np.random.default_rng(0)
    pixels = [rng.random((SIZE, SIZE), np.float32)]
    boxes = [finding.box for finding in study.findings]
    for _ in range(20):
        [(image, (x0, y0, x1, y1))] = _controls(study, study.findings[1:2], pixels, rng) or []
        assert (image, x1 - x0, y1 - y0) == (0, 8, 8)
        assert all(x1 <= b[0] or b[2] <= x0 or y1 <= b[1] or b[3] <= y0 for b in boxes)


def test_without_room_there_is_no_control() -> None:
    study = _study(nodule=(2, 2, 62, 62))
    model, tokenizer = saying([study])
    pixels = [np.random.default_rng(0).random((SIZE, SIZE), np.float32)]
    cases = list(
        occlude_findings(model, tokenizer, study, pixels, subject(text_of(tokenizer, REPORT, 99)))
    )
    of_nodule = next(values for name, _, values in cases if name == "nodule")
    assert of_nodule["without_control"] == 1 and "control_fallen" not in of_nodule


def test_what_is_occluded_is_the_box_and_nothing_else() -> None:
    pixels = np.random.default_rng(0).random((8, 8), np.float32)
    first, second = _occluded([pixels, pixels], [(1, (2, 3, 5, 6))])
    assert np.array_equal(first, pixels)
    changed = np.argwhere(second != pixels)
    assert changed.min(axis=0).tolist() == [3, 2] and changed.max(axis=0).tolist() == [5, 4]


@pytest.mark.parametrize(("factor", "fell"), [(0.51, 0.0), (0.49, 1.0), (2.0, 0.0)])
def test_fallen_is_to_less_than_half(factor: float, fell: float) -> None:
    before = np.log(np.array([0.5, 0.2, 0.9]))
    after = before + np.array([0, np.log(factor), -5])
    assert _fell(before, after, np.array([0, 1])) == fell


def test_a_finding_is_asserted_on_its_side_only() -> None:
    nodule = _study().findings[1]
    for text, asserted in (
        ("There is a left upper lobe nodule.", True),
        ("There is a nodule.", True),
        ("There is a right nodule.", False),
        ("No nodule. Left effusion.", False),
    ):
        assert _Reading(np.zeros(0), read_findings(text)).asserts([nodule]) == asserted


def test_a_finding_that_is_there_twice_is_not_asked_after_one_is_occluded() -> None:
    study = _study()
    left, nodule, right = study.findings
    assert _unique(study, [left]) == [left]
    twice = replace(study, findings=(*study.findings, replace(nodule, box=(50, 8, 58, 16))))
    assert _unique(twice, [nodule]) == []
    assert _unique(twice, [left, right]) == [left, right]


def test_the_embedded_model_no_longer_reports_what_is_occluded() -> None:
    """A pacemaker is plain to see, and under a rectangle it is not."""
    generator = ReportGenerator.load()
    drawn = (make_phantom(424242, index) for index in range(100))
    phantom = next(one for one in drawn if any(f.name == "pacemaker" for f in one.findings))
    image = Image("", *reversed(phantom.images[0].pixels.shape), "PA")
    study = Study("1", "test", (image,), phantom.report, phantom.findings, phantom.phrases)
    text = text_of(generator.tokenizer, phantom.report, generator.model.config.max_tokens)
    known = (generator.model, generator.tokenizer)
    cases = occlude_findings(*known, study, [phantom.images[0].pixels], subject(text))
    [values] = [values for name, _, values in cases if name == "pacemaker"]
    assert values["unsaid"] == values["fallen"] == 1
    assert values["control_unsaid"] == values["control_fallen"] == 0
