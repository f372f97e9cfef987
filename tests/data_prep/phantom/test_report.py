"""Laws of the phantom's reports: nothing there is left out, nothing else is asserted."""

import re

import numpy as np
import pytest
from phantom_findings import random_findings

from data_prep.manifest import Finding, Phrase
from data_prep.phantom.report import ReportContext, write_report
from model.errors import DataError

Written = tuple[list[Finding], str, tuple[Phrase, ...]]


@pytest.fixture(scope="module")
def written() -> list[Written]:
    rng = np.random.default_rng(7)
    reports = []
    for _ in range(1500):
        findings = random_findings(rng)
        view = "AP" if rng.random() < 0.5 else "PA"
        text, phrases = write_report(
            findings, rng, ReportContext(view, rng.random() < 0.2, rng.random() < 0.3)
        )
        reports.append((findings, text, phrases))
    return reports


def test_the_same_state_writes_the_same_report() -> None:
    findings = random_findings(np.random.default_rng(3))
    first, second = (write_report(findings, np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_a_report_is_findings_then_impression_in_whole_sentences(written: list[Written]) -> None:
    sentence = r"[A-Z][A-Za-z ,-]*\."
    for _, text, _ in written:
        shape = rf"Findings:(?: {sentence})+ Impression:(?: {sentence})+"
        assert re.fullmatch(shape, text), text
        assert "  " not in text and " ," not in text, text


def test_length_stays_readable(written: list[Written]) -> None:
    lengths = [len(text.split()) for _, text, _ in written]
    assert max(lengths) <= 110
    assert 30 <= np.median(lengths) <= 70


def test_every_finding_has_a_phrase_in_the_findings_section(written: list[Written]) -> None:
    for findings, text, phrases in written:
        before = text.index(" Impression:")
        named = {index for p in phrases if p.end <= before for index in p.findings}
        assert named == set(range(len(findings))), text


def test_phrases_lie_in_order_on_whole_words(written: list[Written]) -> None:
    for _, text, phrases in written:
        ends = [0]
        for phrase in phrases:
            assert ends[-1] <= phrase.start < phrase.end <= len(text)
            around = text[phrase.start - 1] + text[phrase.end]
            assert re.fullmatch(r" [ .,]", around), text[phrase.start : phrase.end]
            assert re.fullmatch(r"\w.*\w", text[phrase.start : phrase.end])
            ends.append(phrase.end)


def test_a_phrase_says_no_other_side_than_its_findings_have(written: list[Written]) -> None:
    for findings, text, phrases in written:
        for phrase in phrases:
            words = text[phrase.start : phrase.end].lower()
            sides = {findings[index].side for index in phrase.findings}
            said = {side for side in ("right", "left") if side in words}
            assert said <= sides, (text, words)


def test_normal_studies_have_no_phrases_and_a_normal_impression(written: list[Written]) -> None:
    normal = [(text, phrases) for findings, text, phrases in written if not findings]
    assert len(normal) > 300
    for text, phrases in normal:
        assert not phrases
        assert re.search(r"Impression: (No|Normal) ", text), text


def test_bilateral_effusions_are_told_as_one_of_both_findings() -> None:
    both = [
        Finding("pleural_effusion", "mild", side, None, (0, 0, 1, 1)) for side in ("right", "left")
    ]
    for seed in range(20):
        text, phrases = write_report(both, np.random.default_rng(seed))
        bilateral = [p for p in phrases if "ilateral" in text[p.start : p.end]]
        assert bilateral and all(set(p.findings) == {0, 1} for p in bilateral)


def test_severity_can_be_told_from_the_words() -> None:
    words = {"mild": "small|trace|blunt", "moderate": "moderate", "severe": "large|obscured"}
    for severity, expected in words.items():
        finding = Finding("pleural_effusion", severity, "left", None, (0, 0, 1, 1))
        for seed in range(20):
            text, phrases = write_report([finding], np.random.default_rng(seed))
            first = text[phrases[0].start : phrases[0].end].lower()
            assert re.search(expected, first), text


def test_wordings_are_many_and_the_vocabulary_small(written: list[Written]) -> None:
    words = {word for _, text, _ in written for word in re.findall(r"[a-z-]+", text.lower())}
    assert 150 < len(words) < 450
    assert len({text for _, text, _ in written}) > 1200


@pytest.mark.parametrize(("name", "view"), [("appendicitis", "PA"), ("edema", "LATERAL")])
def test_what_it_does_not_know_is_refused_by_name(name: str, view: str) -> None:
    finding = Finding(name, None, None, None, (0, 0, 1, 1))
    with pytest.raises(DataError, match=name if view == "PA" else view):
        write_report([finding], np.random.default_rng(0), ReportContext(view))
