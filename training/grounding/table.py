"""What `crossray grounding` prints: one line a method, then findings and sizes, then the tests."""

from collections.abc import Iterator, Mapping, Sequence

from training.bootstrap import Score, interval
from training.grounding.map_scores import MEASURES
from training.grounding.methods import DEFAULT
from training.grounding.occluded_findings import OCCLUSION
from training.grounding.results import Grounding

__all__ = ["table"]

WIDE = 22
"""Of a score with its interval."""
NARROW = 12
NAME = 20
BY_GROUP = ("pointing_game", "cnr", "miou")
MISSING_SHOWN = 10


def table(grounding: Grounding) -> str:
    """All that was found, as lines of text."""
    parts = [_head(grounding), _methods(grounding)]
    default = grounding.methods.get(DEFAULT)
    measures = [name for name in MEASURES if name not in ("deletion", "insertion")]
    if default is not None:
        parts.append(_groups(f"{DEFAULT}, words of the reference report", default, measures))
    if grounding.own_report is not None:
        title = f"{DEFAULT}, words of the model's own report that name a true finding"
        parts.append(_groups(title, grounding.own_report, measures))
    parts += [_compared(grounding.methods, measure) for measure in BY_GROUP]
    if grounding.occlusion is not None:
        title = (
            "occlusion test: share of first phrases whose probability fell to less than half, and "
            "of findings that its own report no longer asserts"
        )
        parts.append(_groups(title, grounding.occlusion, OCCLUSION))
    if grounding.words is not None:
        parts.append(
            _scores("state and evidence of the words of reference reports", grounding.words)
        )
    if grounding.denials is not None:
        title = "denials: where their words attend, and whether they fall with it covered"
        parts.append(_scores(title, grounding.denials))
    return "\n\n".join(parts)


def _head(grounding: Grounding) -> str:
    lines = [f"{grounding.model} on {grounding.studies} studies, value [95 %]"]
    if grounding.data_sha256 is None:
        lines = [f"{grounding.model} on {grounding.studies} images of a box file, value [95 %]"]
    if grounding.missing:
        names = ", ".join(grounding.missing[:MISSING_SHOWN])
        more = len(grounding.missing) - MISSING_SHOWN
        rest = f" and {more} more" if more > 0 else ""
        lines.append(f"{len(grounding.missing)} images of it are not there: {names}{rest}")
    lines += [f"heads chosen for {half}: {', '.join(of)}" for half, of in grounding.heads.items()]
    return "\n".join(lines)


def _methods(grounding: Grounding) -> str:
    lines = ["methods, all on the same words"]
    lines.append(f"{'method':<{NAME}}{'n':>7}  " + "".join(f"{m:<{WIDE}}" for m in MEASURES))
    for name, scored in grounding.methods.items():
        scores = scored["all"]
        cells = "".join(f"{_value(scores[measure]):<{WIDE}}" for measure in MEASURES)
        lines.append(f"{name:<{NAME}}{scores['pointing_game'].n:>7}  {cells}")
    one = next(iter(grounding.methods.values()), None)
    if one is not None:
        n = one["all"]["deletion"].n
        lines.append(f"deletion and insertion on {n} phrases, occlusion on the same studies")
    return "\n".join(line.rstrip() for line in lines)


def _groups(title: str, scored: Mapping[str, Mapping[str, Score]], measures: Sequence[str]) -> str:
    lines = [title, f"{'':<{NAME}}{'n':>7}  " + "".join(f"{m:<{WIDE}}" for m in measures)]
    for group, scores in scored.items():
        cells = "".join(f"{_value(scores[measure]):<{WIDE}}" for measure in measures)
        lines.append(f"{group:<{NAME}}{scores[measures[0]].n:>7}  {cells}")
    return "\n".join(line.rstrip() for line in lines)


def _compared(methods: Mapping[str, Mapping[str, Mapping[str, Score]]], measure: str) -> str:
    groups = list(next(iter(methods.values()), {}))
    lines = [
        f"{measure} by method",
        f"{'':<{NAME}}" + "".join(f"{m:>{NARROW + 2}}" for m in methods),
    ]
    for group in groups:
        lines.append(f"{group:<{NAME}}" + "".join(_cells(methods, group, measure)))
    return "\n".join(lines)


def _cells(
    methods: Mapping[str, Mapping[str, Mapping[str, Score]]], group: str, measure: str
) -> Iterator[str]:
    for scored in methods.values():
        score = scored[group][measure] if group in scored else None
        value = None if score is None else score.value
        yield f"{'-' if value is None else f'{value:.3f}':>{NARROW + 2}}"


def _scores(title: str, scores: Mapping[str, Score]) -> str:
    lines = [title]
    lines += [f"{name:<34}{_value(score):<{WIDE}}{score.n:>7}" for name, score in scores.items()]
    return "\n".join(lines)


def _value(score: Score) -> str:
    """With its interval, unless it is exact; "-" where there was nothing to measure."""
    if score.value is not None and score.low == score.value == score.high:
        return f"{score.value:.3f}"
    return interval(score, 3)
