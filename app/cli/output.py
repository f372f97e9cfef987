"""What `crossray report`, `ask` and `check` print for people."""

import math
from textwrap import wrap

from app.views import image_name
from model.check import Issue
from model.report import Answer, Check, CheckedStatement, Report

__all__ = ["asked_text", "check_text", "report_text", "times_as_likely"]

UNSURE = 0.5
HARDLY = 1.5
MARKS = ((5.0, "**"), (HARDLY, "*"))
"""From how many times as likely on a word bears which mark."""
LARGEST_RATIO = 1000
LEGEND = (
    "* the image made the word 1.5 times as likely or more, ** 5 times or more; the others the "
    "text alone suggests."
)


def report_text(report: Report, notice: str) -> str:
    """A report with its marks, what to check first, and what it was made by."""
    lines = [*_given(report), *_warnings(report)]
    if report.review:
        lines.append("Check first")
        for flag in report.review:
            lines += _wrapped(f"{flag.code}: {flag.message}")
        lines.append("")
    for section in report.sections:
        marked = _marked(report, section.start, section.end)
        lines += [section.name.capitalize(), *_wrapped(marked), ""]
    if not report.sections:
        lines += [*_wrapped(report.text), ""]
    if report.withheld is None:
        lines += _confidence(report)
    return "\n".join([*lines, *_source(report, notice)])


def _confidence(report: Report) -> list[str]:
    """What the marks mean, and the least certain words."""
    lines = [*_wrapped(LEGEND), ""] if report.words else []
    unsure = sorted(
        (w for w in report.words if w.probability < UNSURE), key=lambda w: w.probability
    )
    if unsure:
        listed = ", ".join(f"{word.text} {word.probability:.2f}" for word in unsure[:8])
        lines += ["Least certain words, with their probability", *_wrapped(listed), ""]
    return lines


def asked_text(found: Answer, notice: str) -> str:
    """How probable a finding is, in one paragraph, and what it was asked of."""
    lines = [*_given(found), *_warnings(found), found.phrase]
    lines += [*_wrapped(_worth(found)), ""]
    return "\n".join([*lines, *_source(found, notice)])


def _worth(found: Answer) -> str:
    if found.withheld is not None:
        return "Probability withheld."
    share = float(found.heatmap.sum())
    if found.state == "unknown":
        location = (
            f"{share:.0%} of its attention fell on the image; where that is a place is unknown."
        )
    elif found.state == "grounded":
        location = f"It has a place on the image: {share:.0%} of its attention fell there."
    elif found.matches or found.samples is None:
        location = f"It has no place on the image: {share:.0%} of its attention fell there."
    else:
        location = "So it has no place on the image."
    return f"{_probability(found)} {times_as_likely(found.evidence)} {location}"


def _probability(found: Answer) -> str:
    if found.probability is None:
        return "No probability: it is not calibrated for this finding."
    if found.samples is None:
        return f"Probability {found.probability:.2f}."
    share = f"in {found.matches} of {found.samples} sampled reports"
    return f"Probability {found.probability:.2f}: {share}."


def check_text(check: Check, notice: str) -> str:
    """What is wrong with a report, then what it states, then what it was checked by."""
    lines = [*_given(check), *_warnings(check)]
    lines.append("To correct" if check.issues else "Nothing to correct was found")
    for issue in check.issues:
        lines += _wrapped(_issue(issue))
        if issue.suggestion:
            lines += _wrapped(f"Suggestion: {issue.suggestion}", "    ")
    lines += ["", "Statements"]
    for statement in check.statements:
        lines += _wrapped(_statement(statement, check.withheld is not None))
    if not check.statements:
        lines += _wrapped("None about a finding that is known.")
    return "\n".join([*lines, "", *_source(check, notice)])


def _issue(issue: Issue) -> str:
    sure = "" if issue.probability is None else f" (probability {issue.probability:.2f})"
    return f"{issue.code}: {issue.message.rstrip('.')}{sure}."


def _statement(statement: CheckedStatement, withheld: bool) -> str:
    line = f"{statement.text!r}: {statement.name.replace('_', ' ')}"
    line += " asserted" if statement.present else " denied"
    if statement.presence_probability is not None:
        line += f", present with a probability of {statement.presence_probability:.2f}"
    return f"{line}." if withheld else f"{line}. {times_as_likely(statement.evidence)}"


def times_as_likely(evidence: float) -> str:
    """Nats as a sentence."""
    times = math.exp(min(abs(evidence), math.log(LARGEST_RATIO)))
    factor = f"{float(f'{times:.2g}'):g}"  # two digits, never as 1.4e+02
    if times >= LARGEST_RATIO * 0.999:
        factor = f"more than {LARGEST_RATIO:,}"
    if times < HARDLY:
        return "The image hardly changed how likely it is."
    return f"The image made it {factor} times {'as' if evidence > 0 else 'less'} likely."


def _marked(report: Report, start: int, end: int) -> str:
    """[start, end) of the text with the words' marks put behind them, if they may have any."""
    if report.withheld is not None:
        return report.text[start:end]
    parts, at = [], start
    for word in report.words:
        if start <= word.start < end:
            least = (mark for times, mark in MARKS if word.evidence >= math.log(times))
            parts += [report.text[at : word.end], next(least, "")]
            at = word.end
    return "".join([*parts, report.text[at:end]])


def _given(made: Report | Answer | Check) -> list[str]:
    """The images by their numbers, where there are several, and the indication."""
    lines = []
    if len(made.views) > 1:
        both = zip(made.views, made.priors, strict=True)
        names = [f"{number} {image_name(*one)}" for number, one in enumerate(both, 1)]
        lines += ["Images", *_wrapped(", ".join(names)), ""]
    if made.indication:
        lines += ["Indication", *_wrapped(made.indication), ""]
    return lines


def _warnings(made: Report | Answer | Check) -> list[str]:
    lines = _wrapped(made.withheld) if made.withheld is not None else []
    for study_warning in made.study_warnings:
        lines += _wrapped(f"{study_warning.code}: {study_warning.message}")
    for number, of_image in enumerate(made.warnings, 1):
        for warning in of_image:
            image = f"Image {number}, " if len(made.warnings) > 1 else ""
            lines += _wrapped(f"{image}{warning.code}: {warning.message}")
    return ["Warnings", *lines, ""] if lines else []


def _source(made: Report | Answer | Check, notice: str) -> list[str]:
    return [*_wrapped(notice, ""), f"Model {made.model.name} {made.model.sha256[:12]}"]


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return wrap(text, 88, initial_indent=indent, subsequent_indent=indent)
