"""Generated reports against the findings that are there: what is found, where, and the maps.

The text is read by rules (model/report_text/parser.py) and compared with a study's findings; the
maps of words that name a true finding are compared with its boxes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from data_prep.manifest import FINDINGS, Finding, Study
from model.report import Report
from model.report_text.parser import Assertion, read_findings
from training.bootstrap import Bootstrap, contrast, exact, points_inside
from training.evaluation.named_words import named_words
from training.evaluation.results import Scores

__all__ = ["AttentionMaps", "score_findings"]


class AttentionMaps:
    """Attention maps of the words that name true findings, summed per study and finding."""

    def __init__(self, studies: int) -> None:
        shape = (studies, len(FINDINGS))
        self.hits, self.words = np.zeros(shape), np.zeros(shape)
        self.contrasts, self.contrasted = np.zeros(shape), np.zeros(shape)

    def add(
        self,
        row: int,
        study: Study,
        report: Report,
        moved: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Compare the maps of study number `row` with its boxes.

        Args:
            moved: what has become of a mask, bool (height, width), on the images that were read,
                where it is not in its place.
        """
        for named in named_words(study, report.text, report.words):
            column = FINDINGS.index(named.name)
            masks = _inside(named.meant, report)
            placed = masks if moved is None else [moved(mask) for mask in masks]
            inside = np.concatenate([mask.ravel() for mask in placed])
            parts = zip(report.placements, report.words[named.word].heatmap, strict=True)
            heatmap = np.concatenate([place.restore(part).ravel() for place, part in parts])
            self.words[row, column] += 1
            self.hits[row, column] += points_inside(heatmap, inside)
            ratio = contrast(heatmap, inside)
            if not np.isnan(ratio):
                self.contrasts[row, column] += ratio
                self.contrasted[row, column] += 1


def _inside(findings: Sequence[Finding], report: Report) -> list[np.ndarray]:
    """bool (height, width) for each image: whether a pixel lies in a finding's box."""
    inside = [np.zeros((place.height, place.width), bool) for place in report.placements]
    for finding in findings:
        x0, y0, x1, y1 = finding.box
        inside[finding.image][y0:y1, x0:x1] = True
    return inside


def score_findings(
    studies: Sequence[Study], texts: Sequence[str], maps: AttentionMaps | None = None
) -> Scores:
    bootstrap = Bootstrap(len(studies))
    readings = {text: read_findings(text) for text in set(texts)}
    read = [readings[text] for text in texts]
    truth = _named(study.findings for study in studies)
    called = _named(read)
    findings = bootstrap.findings(FINDINGS, truth, called)
    sides = np.array([_places_right(s, r, "side") for s, r in zip(studies, read, strict=True)])
    zones = np.array([_places_right(s, r, "zone") for s, r in zip(studies, read, strict=True)])
    normal = np.logical_not(truth.any(axis=1))
    scores = Scores(
        finding_precision=findings.precision,
        finding_recall=findings.recall,
        finding_f1=findings.f1,
        side_accuracy=bootstrap.ratio(sides[:, 0], sides[:, 1]),
        zone_accuracy=bootstrap.ratio(zones[:, 0], zones[:, 1]),
        normal_recall=bootstrap.ratio(normal & np.logical_not(called.any(axis=1)), normal),
        distinct_reports=exact(len(readings), len(texts)),
    )
    return scores if maps is None else _with_maps(scores, maps, bootstrap)


def _named(named: Iterable[Sequence[Finding | Assertion]]) -> np.ndarray:
    """bool (studies, findings): which findings each study's list names."""
    names = ({each.name for each in of_study} for of_study in named)
    return np.array([[name in of_study for name in FINDINGS] for of_study in names])


def _places_right(
    study: Study, found: Sequence[Assertion], what: Literal["side", "zone"]
) -> tuple[int, int]:
    """(right, all) true positives that have a side or zone: exactly the true ones named."""
    right = total = 0
    for name in {assertion.name for assertion in found}:
        of_name = [finding for finding in study.findings if finding.name == name]
        there = {getattr(finding, what) for finding in of_name} - {None}
        if there:
            stated: set[str | None] = set()
            for assertion in found:
                if assertion.name == name:
                    stated |= assertion.sides if what == "side" else {assertion.zone}
            total += 1
            right += stated - {None} == there
    return right, total


def _with_maps(scores: Scores, maps: AttentionMaps, bootstrap: Bootstrap) -> Scores:
    columns = range(len(FINDINGS))
    return replace(
        scores,
        pointing_game=bootstrap.ratio(maps.hits.sum(axis=1), maps.words.sum(axis=1)),
        cnr=bootstrap.ratio(maps.contrasts.sum(axis=1), maps.contrasted.sum(axis=1)),
        finding_pointing_game={
            FINDINGS[k]: bootstrap.ratio(maps.hits[:, k], maps.words[:, k]) for k in columns
        },
        finding_cnr={
            FINDINGS[k]: bootstrap.ratio(maps.contrasts[:, k], maps.contrasted[:, k])
            for k in columns
        },
    )
