"""Errors put into reports are the ones they are called, and detection counts them rightly."""

from dataclasses import replace

import numpy as np
import pytest

from data_prep.manifest import Image, Study
from data_prep.phantom.report_errors import CODE_OF, KINDS, altered, true_report
from data_prep.phantom.study import make_phantom
from model.alternatives import Claim
from model.check import FITTED, Measured
from model.report_text.statements import read_statements
from training.report_check.fit import ALARMS, fit_check
from training.report_check.measure import BASELINES, ReportRead, detection


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    made = []
    for index in range(60):
        phantom = make_phantom(77, index, 64)
        image = Image("x.png", 64, 64, phantom.images[0].view)
        made.append(Study(str(index), "test", (image,), phantom.report, phantom.findings))
    return made


def said(text: str) -> set[tuple[str, bool]]:
    return {(each.name, each.present) for each in read_statements(text)}


def test_a_true_report_states_the_findings(studies) -> None:
    for row, study in enumerate(studies):
        text = true_report(study, np.random.default_rng(row))
        there = {finding.name for finding in study.findings}
        assert {name for name, present in said(text) if present} == there
        assert not {name for name, present in said(text) if not present} & there


@pytest.mark.parametrize("kind", KINDS)
def test_one_thing_is_wrong(studies, kind) -> None:
    made = 0
    for row, study in enumerate(studies):
        wrong = altered(study, kind, np.random.default_rng(row))
        if wrong is None:
            continue
        made += 1
        there = {finding.name for finding in study.findings}
        asserted = {name for name, present in said(wrong.text) if present}
        if kind == "insertion":
            assert asserted == there | {wrong.name} and wrong.name not in there
        elif kind in ("negation", "deletion"):
            assert asserted == there - {wrong.name} and wrong.name in there
            assert ((wrong.name, False) in said(wrong.text)) == (kind == "negation")
        else:
            assert asserted == there
            [true] = [f for f in study.findings if f.name == wrong.name]
            stated = [s for s in read_statements(wrong.text) if s.name == wrong.name and s.present]
            if kind == "side":
                assert {side for s in stated for side in s.sides} == {"right", "left"} - {true.side}
            else:
                assert getattr(true, kind) not in {getattr(s, kind) for s in stated}
        assert altered(study, kind, np.random.default_rng(row)) == wrong
    assert made > 5


def report(row: int, kind: str | None, name: str | None, odds: dict[str, float]) -> ReportRead:
    measured = [
        Measured(code, (), value, True, Claim("nodule"), None, ())  # type: ignore[arg-type]
        for code, value in odds.items()
    ]
    return ReportRead(row, kind, name, measured, measured)


def reports(gap: float) -> list[ReportRead]:
    """Errors of every kind whose log-odds lie `gap` above those of true reports."""
    rng, made = np.random.default_rng(5), []
    for row in range(300):
        made.append(report(row, None, None, {code: rng.normal() for code in FITTED}))
        for kind, code in CODE_OF.items():
            odds = {each: rng.normal() + gap * (each == code) for each in FITTED}
            made.append(report(row, kind, "nodule", odds))
    return made


def test_plain_errors_are_all_found_and_noise_is_not() -> None:
    plain, noise = reports(12.0), reports(0.0)
    own = lambda read: read.measured  # noqa: E731
    found = detection(plain, fit_check(plain, own), 300, own)
    assert all(score.value > 0.98 for score in found.f1.values())
    assert found.false_alarms.value <= 6 * ALARMS
    lost = detection(noise, fit_check(noise, own), 300, own)
    assert all(score.value < 0.1 for score in lost.recall.values())
    assert lost.false_alarms.value <= 6 * ALARMS
    never = detection(plain, fit_check(plain, own), 300, BASELINES["always correct"])
    assert never.false_alarms.value == 0 and all(f1.value == 0 for f1 in never.f1.values())


def test_a_finding_that_is_hard_to_see_costs_an_easy_one_nothing() -> None:
    rng, made = np.random.default_rng(6), []
    spread = {"edema": 0.2, "nodule": 6.0}
    for row in range(200):
        for kind in (None, "insertion"):
            wrong = ("edema", "nodule")[row % 2]
            measured = []
            for each, wide in spread.items():
                raised = 2 * (kind is not None and each == wrong)
                odds = rng.normal() * wide + raised
                measured.append(Measured("unseen", (), odds, True, Claim(each), None, ()))
            name = None if kind is None else wrong
            made.append(ReportRead(row, kind, name, measured, measured))
    own = lambda read: read.measured  # noqa: E731
    fits = fit_check(made, own)
    assert set(fits) == {"unseen", "unseen/edema", "unseen/nodule"}
    assert len({threshold for _, _, threshold in fits.values()}) == 1
    found = detection(made, fits, 200, own)
    assert found.missed["insertion"]["edema"] == (0, 100)
    assert found.false_alarms.value <= 2 * ALARMS
    pooled = detection(made, {"unseen": fits["unseen"]}, 200, own)
    assert pooled.missed["insertion"]["edema"][0] > 50


def test_another_finding_under_the_right_code_is_an_alarm() -> None:
    true = report(0, None, None, {})
    wrong = report(0, "deletion", "edema", {"missing": 9.0})
    found = detection([true, wrong], {"missing": [1, 0, 0.5]}, 1, lambda read: read.measured)
    assert found.recall["deletion"].value == 0 and found.precision["deletion"].value == 0
    right = replace(wrong, name="nodule")
    again = detection([true, right], {"missing": [1, 0, 0.5]}, 1, lambda read: read.measured)
    assert again.f1["deletion"].value == 1 and again.f1["deletion"].n == 1
    assert found.missed["deletion"] == {"edema": (1, 1)}
    assert again.missed["deletion"] == {"nodule": (0, 1)}
