"""Probabilities of findings from answers: calibrated on others, shown by a rule, few false ones."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit

from data_prep.manifest import FINDINGS
from model.errors import DataError
from training.calibration.presence import (
    MOST_FALSE,
    Answers,
    _assert_from,
    fit_presence,
    presence_table,
)

COMMON, RARE, NOISE = (FINDINGS.index(n) for n in ("opacity", "pleural_effusion", "edema"))


def answers(count: int, seed: int = 0) -> Answers:
    """Log-odds that are right but for a scale of 2 and an offset; those of edema say nothing."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-9, 0.1, (count, len(FINDINGS)))
    present = np.zeros((count, len(FINDINGS)), bool)
    known = np.zeros_like(present)
    for k, base in ((COMMON, -0.3), (RARE, -2.5), (NOISE, -1.5)):
        true = rng.normal(base, 1.6, count)
        present[:, k] = rng.random(count) < expit(true)
        odds[:, k] = 2 * true + 1.5 if k != NOISE else rng.normal(0, 2, count)
        known[:, k] = True
    return Answers(odds, known, present, ~present.any(axis=1), np.arange(count) // 2)


def test_the_line_of_each_finding_is_found() -> None:
    given = answers(3000)
    fit = fit_presence(given)
    found = {each.finding: each for each in fit.findings}
    assert list(found) == [FINDINGS[k] for k in sorted((COMMON, RARE, NOISE))]
    for k in (COMMON, RARE):
        each = found[FINDINGS[k]]
        assert each.scale == pytest.approx(0.5, abs=0.08)
        probability = expit(each.scale * given.odds[:, k] + each.offset)
        assert_allclose(probability.mean(), given.present[:, k].mean(), atol=0.02)
        assert each.withheld is None and each.error < each.largest_error < 0.05
    assert set(fit.shown) >= {FINDINGS[COMMON], FINDINGS[RARE]}
    assert "opacity: shown" in presence_table(fit)


def test_images_labeled_for_other_findings_add_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: its line, what is measured, and, where none is normal, the limit from which
    reports assert it."""
    monkeypatch.setattr("training.calibration.presence.RESAMPLES", 20)
    first = answers(120)
    first.known[:, NOISE] = False
    other = answers(80, seed=1)
    other.known[:, [COMMON, RARE]] = False
    first.normal[:] = other.normal[:] = False
    both = Answers(
        *(np.concatenate((a, b)) for a, b in zip(_arrays(first), _arrays(other), strict=True)),
        np.concatenate((first.patient, other.patient + 60)),
    )
    found = fit_presence(both)
    apart = [*fit_presence(first).findings, *fit_presence(other).findings]
    assert {each.finding for each in apart} == {FINDINGS[k] for k in (COMMON, RARE, NOISE)}
    assert sorted(map(str, found.findings)) == sorted(map(str, apart))


def test_few_normal_radiographs_get_a_finding_that_they_are_not_labeled_for() -> None:
    given = answers(300)
    given.known[:150, RARE], given.known[150:, COMMON] = False, False
    limits = {}
    for share in (0, 1):
        normal = np.zeros(300, bool)
        # As sure of the finding as any image that has it.
        normal[np.argsort(-given.odds[:150, RARE])[:40]] = share
        found = fit_presence(replace(given, normal=normal)).findings
        [limits[share]] = [each for each in found if each.finding == FINDINGS[RARE]]
    assert limits[1].assert_from > limits[0].assert_from
    assert limits[1].scale == limits[0].scale and limits[1].error == limits[0].error


def test_without_a_limit_that_holds_hardly_any_normal_radiograph_gets_a_finding() -> None:
    """The labeled images alone would put it at a half, and the normal ones lie above."""
    odds = np.array([*np.linspace(-3, 0.2, 25), *np.linspace(0.3, 2, 20)])
    normal = np.linspace(0.5, 6, 40)
    limit = _assert_from(odds, np.arange(45) >= 25, normal, half=0.25)
    assert (normal >= limit).sum() <= MOST_FALSE * len(normal)
    assert limit > normal[35]


def _arrays(given: Answers) -> tuple[np.ndarray, ...]:
    return given.odds, given.known, given.present, given.normal


def test_reports_assert_what_is_mostly_right_and_seldom_on_normal_images() -> None:
    given = answers(3000)
    for each in fit_presence(given).findings:
        k = FINDINGS.index(each.finding)
        asserted = expit(each.scale * given.odds[:, k] + each.offset) >= each.assert_from
        if k == NOISE:
            assert asserted.mean() < 0.01
            continue
        assert each.precision.value is not None and each.precision.value >= 0.6
        assert given.present[asserted, k].mean() > 0.55
        assert (asserted & given.normal).sum() < 0.12 * given.normal.sum()
        assert each.sensitivity.value is not None and each.sensitivity.value > 0.05


def test_few_images_have_no_probability() -> None:
    few = fit_presence(answers(70))
    assert {each.finding for each in few.findings} >= {FINDINGS[COMMON]}
    assert all(each.withheld for each in few.findings)
    with pytest.raises(DataError, match="no finding has 5"):
        fit_presence(replace(answers(40), present=np.zeros((40, len(FINDINGS)), bool)))


def test_probabilities_that_do_not_hold_on_other_patients_are_withheld() -> None:
    """Each patient's images agree with each other, not with the odds: only 20 say the truth."""
    given = answers(400)
    shift = np.where(given.patient % 2, 3.0, -3.0) * (given.patient > 150)
    odds = given.odds.copy()
    odds[:, COMMON] = logit(np.clip(given.present[:, COMMON], 0.2, 0.8)) + shift
    fit = fit_presence(replace(given, odds=odds, patient=np.minimum(given.patient, 12)))
    [each] = [f for f in fit.findings if f.finding == FINDINGS[COMMON]]
    assert each.largest_error > each.error
    assert each.binned.value is not None and each.by_chance > 0
