"""A report's text -> its sections -> the target a model learns to write, without marks.

Knows how reports are laid out, nothing of any data set's files. Sections are found by headings, as
in MIMIC-CXR (Johnson et al. 2019, Scientific Data 6, 317); where a sentence ends is
model/report_text/parser.py's to say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from data_prep.tables import is_blank
from model.errors import ConfigError
from model.report_text.parser import read_findings, sentences

__all__ = ["TARGETS", "Sections", "fold", "sections", "target", "without_marks"]

TARGETS = ("both", "findings", "impression")


@dataclass(frozen=True)
class Sections:
    """What a report says, section by section: white space folded, marks as they stand."""

    indication: str
    comparison: str
    findings: str
    impression: str


_NAMES = {
    "indication": r"indications?(?: for (?:the )?(?:exam|examination|study))?|"
    r"(?:clinical |patient |medical |brief )?history|history of present illness|"
    r"reasons? for (?:the |this )?(?:exam|examination|study|request)|"
    r"clinical (?:information|indications?|data|details|statement|question)",
    "comparison": r"comparisons?(?: (?:exams?|examinations?|films?|stud(?:y|ies)))?|reference exam",
    # "Findings and impression" is one text about the images: all of it is findings.
    "findings": r"findings?(?: ?(?:and|/|&) ?impressions?)?|report",
    "impression": r"impressions?|impression\(s\)|conclusions?|conclusion\(s\)|opinion|summary",
    "other": r"final report|preliminary report|wet ?read|exam|examination|type of examination|"
    r"study|procedures?|techniques?|views|notifications?|recommendations?|recommendation\(s\)|"
    r"addendum|dictated by|electronically signed by|attending|radiologist",
}
_NAME = re.compile("|".join(f"(?P<{key}>{names})" for key, names in _NAMES.items()), re.IGNORECASE)
_KNOWN = re.compile(rf"(?<![\w-])(?P<name>{'|'.join(_NAMES.values())})[ \t]*:", re.IGNORECASE)
_BARE = re.compile(r"^[ \t]*(?P<name>[A-Z][A-Z /&()]{3,30}?)[ \t]*$", re.MULTILINE)
_CAPITALS = re.compile(r"(?<![\w-])(?P<name>[A-Z][A-Z /&,()-]{3,60}?)[ \t]*:")
_AT_LINE_START = re.compile(
    r"^[ \t]*(?P<name>[A-Z][a-z]+(?:(?:,? ?(?:and|or|&|/))? ?[A-Za-z()]+){0,3})[ \t]*:",
    re.MULTILINE,
)
_KEYWORDS = {
    "FINDINGS": "findings",
    "IMPRESSION": "impression",
    "CONCLUSION": "impression",
    "INDICATION": "indication",
    "HISTORY": "indication",
    "COMPARISON": "comparison",
}
"""What a heading is of that contains one of these words: the first of them counts."""
_SPELLED_ALIKE = 0.87
"""From which ratio of difflib on a word is one of _KEYWORDS misspelled. Every misspelling that the
section parser of MIMIC-CXR lists is ("IMPESSION", "FINDGINGS"), and "COMPRESSION" is none."""
# "PA AND LATERAL VIEWS OF THE CHEST, ___ AT 9:45 HOURS:" heads findings. Capitals only: findings
# themselves speak of the "Chest tube:", and a "CHEST WALL:" is no projection.
_PROJECTION = re.compile(
    r"^[ \t]*(?:CHEST|(?=[^:\n]*\bCHEST\b)"
    r"(?=[^:\n]*\b(?:VIEWS?|RADIOGRAPHS?|FILMS?|PORTABLE|LATERAL|FRONTAL|AP|PA)\b)"
    r"[A-Z][A-Z0-9 ,()/&_.-]{3,80}(?:\d:\d\d[A-Z0-9 ,()/&_.-]{0,40})?)[ \t]*:(?!\d)",
    re.MULTILINE,
)
_SENTENCE_END = re.compile(r"[.!?]\s+\Z")
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")
_FINAL = re.compile(r"^[ \t]*FINAL REPORT\b", re.MULTILINE)


def sections(text: str) -> Sections:
    """The sections of a whole report.

    A heading stands at a line's start with a colon, in any case ("FINDINGS:", "Impression:"), or
    alone on its line in capitals; reports that were folded into one line have theirs in capitals or
    behind a sentence. A heading that contains the word of a section ("IMPRESSION AND
    RECOMMENDATION:") is that section's, also where it is misspelled. What stands before "FINAL
    REPORT" (a wet read) is left out. Headings that are not known ("LUNGS:") stay in their text.

    Without a heading of findings, they are the paragraphs that follow the last heading's own
    paragraph, as many reports of MIMIC-CXR are written, or else the last paragraph before all
    headings. A lone paragraph behind "TECHNIQUE:" or the like is nobody's findings.
    """
    finals = [text[match.end() :].lstrip(" \t:") for match in _FINAL.finditer(text)]
    if finals and finals[-1].strip():
        text = finals[-1]
    bodies = list(_bodies(text))
    found = {key: fold(" ".join(body for k, body in bodies if k == key)) for key in _NAMES}
    if not found["findings"]:
        _find_unheaded(bodies, found)
    del found["other"]
    return Sections(**found)


def _bodies(text: str) -> Iterator[tuple[str, str]]:
    """(section, what stands under its heading) in order; before all headings it is "other"."""
    section, start = "", 0
    for match_start, match_end, following in _headings(text):
        yield section, text[start:match_start]
        section, start = following, match_end
    yield section, text[start:]


def _headings(text: str) -> list[tuple[int, int, str]]:
    found = []
    for match in (*_KNOWN.finditer(text), *_BARE.finditer(text)):
        named = _NAME.fullmatch(match["name"])
        if named and named.lastgroup and _is_heading(text, match):
            found.append((match.start(), match.end(), named.lastgroup))
    spelled = (_CAPITALS, _AT_LINE_START, _BARE)
    for match in (match for pattern in spelled for match in pattern.finditer(text)):
        if not _NAME.fullmatch(match["name"]) and (section := _containing(match["name"])):
            found.append((match.start(), match.end(), section))
    found += [(match.start(), match.end(), "findings") for match in _PROJECTION.finditer(text)]
    apart: list[tuple[int, int, str]] = []
    for heading in sorted(found):
        if not apart or heading[0] >= apart[-1][1]:
            apart.append(heading)
    return apart


@cache
def _containing(heading: str) -> str:
    """The section of a heading with one of _KEYWORDS in it, as it is spelled or nearly; else ""."""
    words = re.findall(r"[A-Z]{4,}", heading.upper())
    near = {
        match
        for word in words
        for match in get_close_matches(word, _KEYWORDS, n=1, cutoff=_SPELLED_ALIKE)
    }
    return next((section for keyword, section in _KEYWORDS.items() if keyword in near), "")


def _is_heading(text: str, match: re.Match[str]) -> bool:
    name, start = match["name"], match.start("name")
    if name.isupper() or not text[text.rfind("\n", 0, start) + 1 : start].strip():
        return True
    return name[0].isupper() and _SENTENCE_END.search(text, max(0, start - 20), start) is not None


def _find_unheaded(bodies: list[tuple[str, str]], found: dict[str, str]) -> None:
    """Move what no heading calls findings from the section it stands behind."""
    for section, body in reversed(bodies):
        if section == "impression":
            continue
        paragraphs = [fold(part) for part in _PARAGRAPH.split(body) if part.strip()]
        rest = " ".join(paragraphs[1:] if section else paragraphs[-1:])
        if rest:
            found["findings"] = rest
            if section:
                found[section] = found[section].removesuffix(rest).rstrip()
            return


HOLE = "\ue000"
"""One character of private use in place of a mark: no word, and no end of a sentence."""
# With what is glued to the mark ("x-XXXX", "___-year-old"), a "year old" behind it, and a title
# before it: "Dr." would end the sentence. A slash joins words of their own: "pneumonia/XXXX".
_MARK = re.compile(
    rf"(?:\b(?:Drs?|Mrs?|Ms|Prof)\.?\s+)?"
    rf"(?:\[\*\*.{{0,200}}?\*\*\]|[<\[](?!BR\b)[A-Z][A-Z _-]{{1,40}}\d*[>\]]|"
    rf"(?<![\w'-])[\w'-]*?(?:X{{4,}}|_{{2,}}|{HOLE})[\w'-]*)"
    r"(?:\s*(?:years?|yrs?)[\s-]*olds?\b|\s*y\.?/?o\b\.?)?",
    re.DOTALL,
)
_SEVERAL = re.compile(rf"{HOLE}(?:\s*/\s*{HOLE})+")
_LEADS = (
    r"(?:as |when )?compared (?:to|with)|in comparison (?:to|with)|"
    r"of|from|on|at|by|with|to|in|dated|since|for|through|until|and|or|the|an?|which|that|"
    r"is|are|was|were"
)
# "the study of ___, there" and "on ___ at": nothing is left for the preposition to govern.
_DANGLING = re.compile(
    rf"(?:\b(?:{_LEADS})\s+){{1,6}}{HOLE}(?=\s*(?:[,.;:)?!]|$|(?:at|on|of|from|by|in)\b))",
    re.IGNORECASE,
)
_MENDING = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        (rf"\b([Aa]) {HOLE} (?=[aeiou])", r"\1n "),
        (rf"\b([Aa])n {HOLE} (?=[b-df-hj-np-tv-z])", r"\1 "),
        (rf"\s*{HOLE}\s*", " "),
        (r"(?<!\w)/|/(?!\w)", " "),
        (r"\(\s*[,;:.-]*\s*\)|\[\s*\]", " "),
        (r"\s+", " "),
        (r" (?=[,.;:)?!])", ""),
        (r"[,;:](?:\s?[,;:]){0,9}\s?([.?!])", r"\1"),
        (r"([,;:])(?:\s*[,;:])+", r"\1"),
        (r"^[\s,;:.)?!-]+", ""),
        (r"^(\d+[.)])[\s,;:.)?!-]+", r"\1 "),
    )
)
_BEGINNING = re.compile(rf"^(?:\d+[.)])?\W*{HOLE}")
_WORD = re.compile(r"[^\W_]")
_LETTER = re.compile(r"[^\W\d_]")
_LAST_HEADING = re.compile(r"[^\W_][^:.;!?\ue000]*:")


def without_marks(text: str, drop: bool = True) -> str:
    """The text without marks of de-identification, white space folded.

    Marks are the XXXX of Open-i, the ___ of MIMIC-CXR, [**...**] and <NAME> or [NAME]. A sentence
    that holds one is dropped, unless what is left of it asserts a finding
    (model/report_text/parser.py): then the mark alone is taken out, and the words and points that
    it leaves behind are mended. Headings with nothing left under them go too. A text without marks
    keeps all its sentences.

    Args:
        drop: False keeps what is left of every sentence, where that has a word. For requests and
            comparisons, which a model reads but never writes: "___-year-old with cough" is worth
            its cough.
    """
    text = fold(_SEVERAL.sub(HOLE, _MARK.sub(HOLE, text)))
    kept: list[str] = []
    heading, reached = "", 0
    for start, end in sentences(text):
        headings = _LAST_HEADING.findall(text[reached:start])
        heading, reached = headings[-1] if headings else heading, end
        sentence = text[start:end]
        if HOLE in sentence:
            sentence = _mended(sentence)
            if not (read_findings(sentence) if drop else _LETTER.search(sentence)):
                continue
        kept += [heading, sentence] if heading else [sentence]
        heading = ""
    return fold(" ".join(kept))


def _mended(sentence: str) -> str:
    begins = _BEGINNING.search(sentence)
    while (mended := _DANGLING.sub(HOLE, sentence)) != sentence:
        begins, sentence = begins or _BEGINNING.search(mended), mended
    for pattern, to in _MENDING:
        sentence = pattern.sub(to, sentence)
    sentence = sentence.strip()
    first = _WORD.search(re.sub(r"^\d+[.)]", lambda number: "." * len(number[0]), sentence))
    if begins and first:
        at = first.start()
        sentence = sentence[:at] + sentence[at].upper() + sentence[at + 1 :]
    return sentence


def target(findings: str, impression: str, sections: str) -> str:
    """What a model is to write: "Findings: ... Impression: ...", without marks.

    Args:
        findings: the section, as `sections` or a data set gives it.
        impression: the same.
        sections: "both", "findings" or "impression": which of them are wanted. One that is empty,
            or in which nothing is left, is not there.

    Returns:
        The target; empty where nothing is left.

    Raises:
        ConfigError: `sections` is none of TARGETS.
    """
    if sections not in TARGETS:
        raise ConfigError(f"sections is one of {', '.join(TARGETS)}, got {sections!r}")
    wanted = {"findings": findings, "impression": impression}
    if sections != "both":
        wanted = {sections: wanted[sections]}
    clean = {name: without_marks(text) for name, text in wanted.items() if not is_blank(text)}
    return " ".join(f"{name.capitalize()}: {text}" for name, text in clean.items() if text)


def fold(text: str) -> str:
    """The text on one line, with single spaces."""
    return " ".join(text.split())
