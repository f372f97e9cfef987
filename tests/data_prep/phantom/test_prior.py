"""Laws of the phantom's prior study: true comparisons, in sentences that a reader recognizes."""

import numpy as np
import pytest

from data_prep.manifest import Finding
from data_prep.phantom.comparison import compare
from data_prep.phantom.patient import sample_patient
from data_prep.phantom.plan import Plan
from data_prep.phantom.prior import GRADES, Earlier, draw_earlier, place_of
from data_prep.phantom.study import Additions, Phantom, make_phantom
from data_prep.phantom.views import Shown, View
from model.report_text.parser import read_findings, sentences
from model.report_text.vocabulary import PRIOR

SIZE = 64
LEFT = Plan("pleural_effusion", "moderate", "left", None)
NODULE = Plan("nodule", "mild", "right", "upper")


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [
        make_phantom(19, index, SIZE, Additions(lateral=0.5, prior=1.0)) for index in range(160)
    ]


def test_the_prior_comes_last_and_holds_no_truth_of_today(phantoms: list[Phantom]) -> None:
    for study in phantoms:
        *today, prior = study.images
        assert prior.prior and prior.mask is None and prior.view in ("PA", "AP")
        assert not any(image.prior for image in today)
        assert all(finding.image < len(today) for finding in study.findings)
        assert not np.array_equal(prior.pixels, today[0].pixels)


def test_comparisons_are_recognized_and_stand_at_the_end_of_the_findings(
    phantoms: list[Phantom],
) -> None:
    said = set()
    for study in phantoms:
        told = [study.report[slice(*span)] for span in sentences(study.report)]
        compared = [sentence for sentence in told if PRIOR.search(sentence)]
        assert all("prior study" in s or "previously" in s for s in compared)
        assert [s for s in told if "prior study" in s or "previously" in s] == compared
        before = study.report[: study.report.index(" Impression:")]
        assert before.endswith(" ".join(compared))
        said.update(compared)
    assert len(said) > 40


def test_a_report_without_a_prior_compares_nothing() -> None:
    for index in range(60):
        assert not PRIOR.search(make_phantom(19, index, SIZE, Additions(lateral=0.5)).report)


def test_what_is_read_is_what_is_there_today(phantoms: list[Phantom]) -> None:
    for study in phantoms:
        read = {assertion.name for assertion in read_findings(study.report)}
        assert read == {finding.name for finding in study.findings}, study.report


def test_words_for_what_is_gone_are_no_phrase(phantoms: list[Phantom]) -> None:
    gone = 0
    for study in phantoms:
        for start, end in sentences(study.report):
            sentence = study.report[start:end]
            if "previously" in sentence:
                gone += 1
                assert not any(start <= phrase.start < end for phrase in study.phrases)
                assert not read_findings(sentence)
    assert gone >= 10


def test_changes_follow_from_the_grades() -> None:
    patient = sample_patient(np.random.default_rng(0))
    today = [_shown(plan) for plan in (LEFT, NODULE)]
    seen = set()
    for seed in range(80):
        earlier = draw_earlier(
            patient, today, {LEFT.name, NODULE.name}, np.random.default_rng(seed)
        )
        before = {place_of(plan): plan.severity for plan in earlier.plans}
        for plan in (LEFT, NODULE):
            how = earlier.changes.get(place_of(plan))
            if how is None:  # air or fluid that is gone would have hidden it
                assert earlier.gone
                continue
            seen.add(how)
            assert (how == "new") == (place_of(plan) not in before)
            if how != "new":
                was, is_now = before[place_of(plan)], plan.severity
                assert was is not None and is_now is not None
                step = GRADES.index(is_now) - GRADES.index(was)
                assert how == ("unchanged", "increased", "decreased")[step]
        assert not {plan.name for plan in earlier.gone} & {LEFT.name, NODULE.name}
    assert seen == {"new", "increased", "decreased", "unchanged"}


def test_no_change_is_said_only_where_nothing_changed() -> None:
    finding = Finding("pleural_effusion", "moderate", "left", None, (0, 0, 1, 1))
    patient = sample_patient(np.random.default_rng(0))
    pixels, mask = np.zeros((8, 8), np.float32), np.zeros((8, 8), np.uint16)
    old = View("PA", pixels, mask, (_shown(LEFT),))
    for how in ("new", "increased", "decreased", "unchanged"):
        earlier = Earlier(patient, (LEFT,), {place_of(LEFT): how}, ())
        texts = [
            " ".join(text for text, _ in compare([finding], hidden, earlier, old, rng))
            for hidden in (frozenset[str](), frozenset({"opacity"}))
            for rng in map(np.random.default_rng, range(12))
        ]
        assert any("No significant" in text for text in texts[:12]) == (how == "unchanged")
        assert not any("No significant" in text for text in texts[12:])


def _shown(plan: Plan) -> Shown:
    return Shown(plan, (0, 0, 1, 1), (-3.0, 12.0, -1.0, 14.0), np.ones((1, 1), bool))
