"""A kept report as plain text, for an information system or an e-mail."""

from textwrap import wrap

from app.export.lines import addendum_line, provenance, status_line
from app.store.records import Study
from model.report import sections

__all__ = ["report_text"]

WIDTH = 88


def report_text(study: Study) -> str:
    """The current report with its addenda, who signed it, and what it was made by."""
    lines = [f"Chest radiograph {study.summary.accession or study.summary.name}", ""]
    if study.draft.indication:
        lines += ["Indication", *_wrapped(study.draft.indication), ""]
    for section in sections(study.text):
        lines += [section.name.capitalize(), *_wrapped(section.text), ""]
    for addendum in study.addenda:
        lines += [addendum_line(addendum), *_wrapped(addendum.text), ""]
    lines += [*_wrapped(status_line(study), ""), ""]
    for line in provenance(study):
        lines += _wrapped(line, "")
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
