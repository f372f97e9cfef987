"""Somebody's report held against its image: what is found, where, and what is never claimed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_prep.manifest import Finding
from data_prep.phantom.report import write_report
from data_prep.phantom.study import Phantom, make_phantom
from model import generator as generators
from model.alternatives import Claim, EncodedStudy, sentence, variants
from model.check import UNFITTED, Measured, called, measure, probability
from model.errors import DataError
from model.exam import encode_studies
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.presence import presence_of
from model.report import Check
from model.report_text.parser import read_findings
from model.report_text.statements import read_statements

PHANTOM = Path(generators.__file__).parent / "phantom"
SEED, SIZE = 90210, 256
"""No checkpoint was trained on phantoms of this seed."""


@pytest.fixture(scope="module")
def generator() -> ReportGenerator:
    return ReportGenerator.load(PHANTOM)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    """The first one with a device on one side."""
    studies = (make_phantom(SEED, index, SIZE) for index in range(100))
    return next(
        each
        for each in studies
        if [f.name for f in each.findings if f.side] == ["pacemaker"] and len(each.findings) > 1
    )


def radiograph(phantom: Phantom) -> Radiograph:
    return Radiograph(phantom.images[0].pixels, "PA")


def check(generator: ReportGenerator, phantom: Phantom, findings: tuple[Finding, ...]) -> Check:
    text, _ = write_report(findings, np.random.default_rng(0))
    return generator.check(radiograph(phantom), text)


def codes(found: Check) -> set[tuple[str, str | None]]:
    return {(issue.code, issue.name) for issue in found.issues}


def test_a_swapped_side_is_found_and_put_right(generator, phantom) -> None:
    [device] = [f for f in phantom.findings if f.name == "pacemaker"]
    other = "left" if device.side == "right" else "right"
    swapped = tuple(replace(f, side=other) if f is device else f for f in phantom.findings)
    assert not codes(check(generator, phantom, phantom.findings))
    found = check(generator, phantom, swapped)
    assert codes(found) == {("side", "pacemaker")}
    [issue] = found.issues
    assert issue.suggestion == f"A {device.side} pacemaker is in place."
    assert all("pacemaker" in found.text[start:end] for start, end in issue.spans)
    assert issue.evidence > 0 and issue.heatmap.shape == (1, *found.grid)
    half = found.grid[1] // 2
    halves = issue.heatmap[0, :, :half].sum(), issue.heatmap[0, :, half:].sum()
    assert (halves[0] > halves[1]) == (device.side == "right")


def test_a_side_speaks_as_much_for_itself_as_against_the_other() -> None:
    generator = ReportGenerator.load(generators.EMBEDDED)
    assert generator.model.config.answers
    square = generator.model.place(SIZE, SIZE).apply(make_phantom(SEED, 0, SIZE).images[0].pixels)
    memory = encode_studies(generator.model, [[square]], [[0]], [[]])
    study = EncodedStudy(generator.model, memory, generator.tokenizer)
    [presence] = presence_of(generator.model, memory, generator.tokenizer)
    odds = []
    for side in ("left", "right"):
        text = f"There is a large right pneumothorax. There is a small {side} pleural effusion."
        measured = measure(study, presence, read_statements(text))
        odds.append({each.stated.name: each.log_odds for each in measured if each.code == "side"})
    assert odds[0]["pleural_effusion"] == pytest.approx(-odds[1]["pleural_effusion"], abs=1e-3)
    assert abs(odds[0]["pleural_effusion"]) > 0.1


def test_what_is_not_mentioned_is_listed_with_its_place(generator, phantom) -> None:
    rest = tuple(f for f in phantom.findings if f.name != "pacemaker")
    found = check(generator, phantom, rest)
    assert codes(found) == {("missing", "pacemaker")}
    [issue] = found.issues
    [device] = [f for f in phantom.findings if f.name == "pacemaker"]
    assert issue.spans == () and device.side in issue.suggestion


def test_what_is_not_there_is_told_and_its_denial_suggested(generator, phantom) -> None:
    assert "hiatal_hernia" not in {finding.name for finding in phantom.findings}
    hernia = Finding("hiatal_hernia", None, None, None, (0, 0, 1, 1))
    found = check(generator, phantom, (*phantom.findings, hernia))
    assert codes(found) == {("unseen", "hiatal_hernia")}
    assert found.issues[0].suggestion == "No hiatal hernia."


@pytest.mark.parametrize("known", [("pacemaker",), ()])
def test_what_did_not_hold_on_radiographs_has_no_probability(generator, phantom, known) -> None:
    rest = tuple(f for f in phantom.findings if f.name != "pacemaker")
    config = generator.model.config
    fits = {"missing": [1.0, 0.0, 0.5]}
    try:
        config.check, config.calibrated = fits, list(known)
        [issue] = check(generator, phantom, rest).issues
    finally:
        config.check = config.calibrated = None
    assert issue.code == "missing" and (issue.probability is None) == (not known)


def test_foreign_words_are_understood(generator, phantom) -> None:
    [device] = [f for f in phantom.findings if f.name == "pacemaker"]
    other = "left" if device.side == "right" else "right"
    text = f"There's a dual-chamber AICD over the {other} hemithorax,\nas one would expect."
    found = generator.check(radiograph(phantom), text)
    assert ("side", "pacemaker") in codes(found)
    assert "\n" not in found.text and len(found.text) == len(text)


def test_a_comparison_and_a_contradiction_need_no_image(generator, phantom) -> None:
    text = "No pneumothorax. There is a small right pneumothorax, unchanged from the prior study."
    found = generator.check(radiograph(phantom), text)
    assert {"prior", "contradiction"} <= {issue.code for issue in found.issues}
    assert all(i.probability is None for i in found.issues if i.code == "prior")


def test_its_own_report_is_read_as_it_was_written(generator, phantom) -> None:
    """The words of a report have the same maps and evidence when it is given back."""
    report = generator(radiograph(phantom))
    found = generator.check(radiograph(phantom), report.text)
    assert found.text == report.text and found.sections == report.sections
    assert len(found.words) == len(report.words)
    for own, again in zip(report.words, found.words, strict=True):
        assert (again.text, again.start, again.state) == (own.text, own.start, own.state)
        assert again.evidence == pytest.approx(own.evidence, abs=1e-4)
        np.testing.assert_allclose(again.heatmap, own.heatmap, atol=1e-5)


def test_on_a_strange_image_nothing_is_claimed(generator) -> None:
    noise = Radiograph(np.random.default_rng(0).random((300, 300)).astype(np.float32), "PA")
    text = "There is a left pacemaker, unchanged from the prior study."
    found = generator.check(noise, text, input_check=False)
    assert found.withheld is not None and {issue.code for issue in found.issues} == {"prior"}
    assert all(each.presence_probability is None for each in found.statements)


@pytest.mark.parametrize(("text", "reason"), [("  ... ", "no word"), ("opacity " * 500, "tokens")])
def test_a_text_that_cannot_be_read_is_refused(generator, phantom, text, reason) -> None:
    with pytest.raises(DataError, match=reason):
        generator.check(radiograph(phantom), text)


@pytest.mark.parametrize("field", ["side", "zone", "severity"])
def test_alternatives_say_what_they_claim(field) -> None:
    """The network's own phrases are read as what they are made for."""
    whole = {
        "opacity": Claim("opacity", "left", "upper", "mild"),
        "pleural_effusion": Claim("pleural_effusion", "right", None, "severe"),
        "cardiomegaly": Claim("cardiomegaly", None, None, "moderate"),
        "rib_fracture": Claim("rib_fracture", "left", "lower"),
        "central_line": Claim("central_line", "right"),
        "hiatal_hernia": Claim("hiatal_hernia"),
    }
    for claim in whole.values():
        for choice in variants(claim, field):
            [found] = read_findings(sentence(choice))
            assert (found.name, found.zone) == (choice.name, choice.zone)
            assert found.sides == (frozenset({choice.side}) if choice.side else frozenset())
            if choice.name not in ("opacity", "nodule"):
                [stated] = read_statements(sentence(choice))
                assert stated.severity == choice.severity


def test_of_what_is_not_seen_no_side_is_corrected() -> None:
    claim = Claim("pneumothorax", "left", None, "mild")
    turned = replace(claim, side="right")
    unseen = Measured("unseen", (), 6.0, True, claim, None, ())
    side = Measured("side", (), 6.0, True, claim, turned, ())
    size = Measured("severity", (), 6.0, True, claim, replace(claim, severity="severe"), ())
    assert called(None, [unseen, side, size]) == [unseen]
    assert called(None, [side, size]) == [side]
    assert called({"side": [1.0, -3.0, 0.99]}, [side]) == []
    assert probability(None, side) > UNFITTED[2] > probability({"side": [0.1, 0, 0.5]}, side)
    of_finding = {"side": [1.0, -3.0, 0.99], "side/pneumothorax": [1.0, 0.0, 0.99]}
    assert called(of_finding, [side]) == [side]
