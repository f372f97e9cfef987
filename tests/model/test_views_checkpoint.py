"""The checkpoint that reads several views: it loads, says what it is, and sees the lateral."""

import pytest
from paths import ROOT

from data_prep.phantom.study import Additions, Phantom, make_phantom
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.report import Report
from model.report_text.parser import read_findings

SEED = 20261128
STUDIES = range(16)


@pytest.fixture(scope="module")
def generator() -> ReportGenerator:
    return ReportGenerator.load(ROOT / "model" / "views")


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(SEED, index, additions=Additions(lateral=1.0)) for index in STUDIES]


def read(generator: ReportGenerator, phantoms: list[Phantom], views: int) -> list[Report]:
    exams = [
        Exam([Radiograph(image.pixels, image.view) for image in phantom.images[:views]])
        for phantom in phantoms
    ]
    return generator.reports(exams)


def test_it_says_what_it_reads_and_that_it_saw_phantoms(generator: ReportGenerator) -> None:
    config = generator.model.config
    assert config.views == ["frontal", "lateral", "prior"] and config.prompt_tokens
    assert "never seen a real patient" in config.notice


@pytest.mark.parametrize("views", [1, 2])
def test_it_finds_most_of_what_is_there(
    generator: ReportGenerator, phantoms: list[Phantom], views: int
) -> None:
    """Few studies: docs/explanation/views.md has the scores."""
    right = there = called = 0
    for phantom, report in zip(phantoms, read(generator, phantoms, views), strict=True):
        truth = {finding.name for finding in phantom.findings}
        said = {finding.name for finding in read_findings(report.text)}
        right, there, called = right + len(said & truth), there + len(truth), called + len(said)
    assert 2 * right / (there + called) > 0.7


def test_both_views_are_looked_at(generator: ReportGenerator, phantoms: list[Phantom]) -> None:
    reports = read(generator, phantoms, 2)
    shares = [
        [part.sum() for part in word.heatmap]
        for report in reports
        for word in report.words
        if word.state == "grounded"
    ]
    assert min(map(sum, zip(*shares, strict=True))) > 1
