"""Sections lose no word, and no mark of de-identification reaches a target."""

import csv
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import SHARED

from data_prep.report_text import Sections, fold, sections, target, without_marks
from model.errors import ConfigError
from model.report_text.parser import read_findings

OPEN_I = SHARED / "data" / "openi" / "indiana_reports.csv"
MARK = re.compile(r"X{4}|__|\[\*\*.*?\*\*\]|<[A-Z]{3,}>|\[[A-Z]{3,}\]", re.DOTALL)
"""What a mark is, said apart from data_prep/report_text.py."""

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___-year-old woman with cough.  // pneumonia?

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  Chest radiograph dated ___.

 FINDINGS:

 The lungs are clear.  There is no pleural
 effusion.

 IMPRESSION:

 No acute process.
"""
WET_READ = """ WET READ: ___ ___ 9:40 PM
  Large pneumothorax.
 ______________________________________________________________________________
                                 FINAL REPORT
 HISTORY:  Fall.

 FINDINGS:  Small pneumothorax.

 CONCLUSION:  Small left pneumothorax.
 NOTIFICATION:  Told by telephone.
"""
OLD = """                                 FINAL REPORT
 REASON FOR EXAMINATION:  Follow-up of effusion.

 COMPARISON:  ___.

 As compared to the previous radiograph, there is no change.

 The heart is mildly enlarged.
"""
PROJECTION = """                                 FINAL REPORT
 PA AND LATERAL VIEWS OF THE CHEST, ___ AT 9:45 HOURS:

 HISTORY:  Cough.

 PA AND LATERAL CHEST RADIOGRAPHS, ___ AT 9:45:  Clear lungs.
 CHEST WALL: intact.

 IMPRESSION:  Normal.
"""
PREAMBLE = """                                 FINAL REPORT
 PORTABLE CHEST, ___

 The lines are unchanged.  Moderate edema.

 IMPRESSION:  Edema.
"""
TEMPLATE = """Clinical information: Dyspnea
Findings:
Lungs: Clear.
Lines and tubes: None.
Impression: Normal chest.
"""
FOLDED = (
    "INDICATION: Cough. COMPARISON: None. FINDINGS: No change. IMPRESSION: 1. Clear. 2. Stable."
)
BARE = "REASON FOR EXAM: Pain.\n\nFINDINGS\nClear lungs.\n\nIMPRESSION\nNormal.\n"
TOGETHER = "INDICATION: Pain.\nFINDINGS AND IMPRESSION: Mild edema."
PROSE = "To whom it may warning\n\nThe heart is large.\nThe lungs are clear."

REPORTS = {
    "MIMIC-CXR as it mostly is": (
        MIMIC,
        Sections(
            "___-year-old woman with cough. // pneumonia?",
            "Chest radiograph dated ___.",
            "The lungs are clear. There is no pleural effusion.",
            "No acute process.",
        ),
    ),
    "the wet read is not the report": (
        WET_READ,
        Sections("Fall.", "", "Small pneumothorax.", "Small left pneumothorax."),
    ),
    "findings behind the last heading's paragraph": (
        OLD,
        Sections(
            "Follow-up of effusion.",
            "___.",
            "As compared to the previous radiograph, there is no change. "
            "The heart is mildly enlarged.",
            "",
        ),
    ),
    "a projection heads findings": (
        PROJECTION,
        Sections("Cough.", "", "Clear lungs. CHEST WALL: intact.", "Normal."),
    ),
    "findings before all headings": (
        PREAMBLE,
        Sections("", "", "The lines are unchanged. Moderate edema.", "Edema."),
    ),
    "headings that are not known are words": (
        TEMPLATE,
        Sections("Dyspnea", "", "Lungs: Clear. Lines and tubes: None.", "Normal chest."),
    ),
    "folded into one line": (
        FOLDED,
        Sections("Cough.", "None.", "No change.", "1. Clear. 2. Stable."),
    ),
    "headings alone on their lines": (BARE, Sections("Pain.", "", "Clear lungs.", "Normal.")),
    "findings and impression in one": (TOGETHER, Sections("Pain.", "", "Mild edema.", "")),
    "no heading at all": (
        PROSE,
        Sections("", "", "The heart is large. The lungs are clear.", ""),
    ),
    "a request is nobody's findings": ("INDICATION: Cough.", Sections("Cough.", "", "", "")),
    "nothing": ("", Sections("", "", "", "")),
}


@pytest.mark.parametrize(("text", "expected"), REPORTS.values(), ids=REPORTS)
def test_sections_of_reports_as_they_are_written(text, expected):
    assert sections(text) == expected


@pytest.mark.parametrize(
    "text", ["FINDINGS", "Findings:", "FINAL REPORT", "FINDINGS: IMPRESSION:", "\n\n : \n"]
)
def test_headings_alone_say_nothing(text):
    assert sections(text).impression == "" and "IMPRESSION" not in sections(text).findings


words = st.lists(
    st.sampled_from(["the", "lungs", "are", "clear,", "no", "findings.", "history", "report"]),
    min_size=1,
    max_size=12,
).map(" ".join)
wrapped = st.tuples(words, words).map("\n".join)


@given(wrapped, wrapped, wrapped, wrapped, wrapped, st.booleans())
def test_sections_lose_no_word_between_known_headings(
    indication, technique, comparison, findings, impression, capitals
):
    headings = ("Indication", "Technique", "Comparison", "Findings", "Impression")
    bodies = (indication, technique, comparison, findings, impression)
    text = "\n".join(
        f"{heading.upper() if capitals else heading}: {body}"
        for heading, body in zip(headings, bodies, strict=True)
    )
    assert sections(text) == Sections(*map(fold, (indication, comparison, findings, impression)))


@given(words, words)
def test_a_target_reads_back(findings, impression):
    findings, impression = f"The {findings}.", f"The {impression}."
    read = sections(target(findings, impression, "both"))
    assert (read.findings, read.impression) == (without_marks(findings), without_marks(impression))


KEPT = {
    "There is a XXXX left pleural effusion.": "There is a left pleural effusion.",
    "There is a XXXX opacity.": "There is an opacity.",
    "1. XXXX right apical pneumothorax.": "1. Right apical pneumothorax.",
    "As compared to the prior of ___, the effusion grew.": (
        "As compared to the prior, the effusion grew."
    ),
    "Compared to ___, edema has increased.": "Edema has increased.",
    "On the film from ___ at 9:40, there is edema.": "On the film at 9:40, there is edema.",
    "Edema, as told to Dr. ___.": "Edema, as told.",
    "Edema ([**Name (un) 12**]) on x-XXXX from XXXX/XXXX.": "Edema.",
    "Pneumonia/XXXX is seen by <NAME>.": "Pneumonia is seen.",
}


@pytest.mark.parametrize(("text", "expected"), KEPT.items())
def test_a_sentence_that_asserts_a_finding_is_mended(text, expected):
    assert without_marks(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "XXXX and soft tissues are unremarkable.",
        "No pleural effusion since ___.",
        "Findings were discussed with Dr. ___ by telephone.",
        "___.",
    ],
)
def test_any_other_sentence_with_a_mark_goes(text):
    assert without_marks(text) == ""
    assert without_marks(f"Mild edema. {text} Clear apices.") == "Mild edema. Clear apices."


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "___-year-old woman with cough.  // pneumonia?": "Woman with cough. // pneumonia?",
        "___ year old man, fell on ___.": "Man, fell.",
        "XXXX-year-old male with chest pain": "Male with chest pain",
        "Chest radiograph dated ___.": "Chest radiograph.",
        "___.": "",
        "XXXX, XXXX 10": "",
    }.items(),
)
def test_what_is_told_and_not_written_keeps_its_sentences(text, expected):
    assert without_marks(text, drop=False) == expected


def test_what_has_no_mark_stays():
    text = "1. No acute abnormality.\n2. Emphysema <BR> is <5 mm; T-spine: normal [sic]."
    assert without_marks(text) == fold(text)


def test_a_heading_with_nothing_left_under_it_goes():
    assert without_marks("Comparison: [DATE].\nFindings: Mild edema.") == "Findings: Mild edema."


pieces = st.sampled_from(
    [
        *("XXXX", "___", "_____", "[**2012-3-4**]", "<NAME>", "[DATE]", "x-XXXX", "XXXX's"),
        *("pleural effusion", "no", "pneumothorax", "There is", "of", "at", "Dr.", "a", "the"),
        *("Findings:", "Impression:", "1.", "12.", ".", ",", "(", ")", "/", "[", "*", "**", "<"),
        *(">", "]", "_", "X", "XX", "XXX", "-", ";", "\n", "\n\n", "is", "\ue000", "opacity"),
    ]
)
texts = st.lists(st.tuples(pieces, st.sampled_from(["", " "])), max_size=25).map(
    lambda pairs: "".join(piece + space for piece, space in pairs)
)


@given(texts, st.booleans())
def test_no_mark_is_ever_left(text, drop):
    assert not MARK.search(without_marks(text, drop))
    assert "\ue000" not in without_marks(text, drop)


@given(texts)
def test_nothing_is_asserted_that_the_sentences_did_not_say(text):
    said = {finding.name for finding in read_findings(fold(MARK.sub(" ", text)))}
    if "no" not in text:
        assert {finding.name for finding in read_findings(without_marks(text))} <= said


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("both", "Findings: Mild edema. Impression: No change."),
        ("findings", "Findings: Mild edema."),
        ("impression", "Impression: No change."),
    ],
)
def test_a_target_holds_what_is_wanted(wanted, expected):
    assert target("Mild edema. XXXX are intact.", "No\n change.", wanted) == expected


def test_a_section_without_words_is_not_there():
    assert target("", "Stable XXXX.", "both") == ""
    assert target("XXXX.", "Normal.", "both") == "Impression: Normal."
    with pytest.raises(ConfigError, match=r"both, findings, impression, got 'all'"):
        target("Clear.", "", "all")


def test_no_mark_is_left_in_the_targets_of_open_i():
    if not OPEN_I.is_file():
        pytest.skip("the reports of Open-i are not here")
    with OPEN_I.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    targets = [target(row["findings"], row["impression"], "both") for row in rows]
    told = [text for row, text in zip(rows, targets, strict=True) if row["findings"]]
    assert not any(MARK.search(text) for text in targets)
    assert sum(map(bool, told)) > 0.99 * len(told)


# As the section parser of MIMIC-CXR lists them (MIT-LCP/mimic-cxr, section_parser.py), and more.
MISSPELLED = {
    "findings": "FINDING FINDINS FINDINDGS FINDGINGS FINDNGS FINDNINGS FINIDNGS FIDINGS",
    "impression": "IMPRESSIONS IMPRESSON IMPRRESSION IMOPRESSION IMPRESSOIN IMPRSSION IMPRESION "
    "IMPERSSION MPRESSION IMPESSION IMPRESSSION CONCLUSION CONCLUSIONS CONLCUSION",
    "comparison": "COMPARISION COMPARSION COMPARRISON COMPARISIONS OMPARISON",
    "indication": "IDICATION NDICATION",
}


@pytest.mark.parametrize(
    ("section", "heading"),
    [(section, word) for section, words in MISSPELLED.items() for word in words.split()]
    + [
        ("impression", "IMPRESSION AND RECOMMENDATION"),
        ("impression", "IMPRESSION/RECOMMENDATIONS"),
        ("impression", "CONCLUSION(S)"),
        ("impression", "FINAL IMPRESSION"),
        ("findings", "CHEST FINDINGS"),
        ("findings", "TECHNIQUE AND FINDINGS"),
        ("findings", "REFERENCE FINDINGS"),
        ("indication", "CLINCAL HISTORY"),
    ],
)
def test_a_heading_is_known_by_the_word_it_contains(section: str, heading: str) -> None:
    """In capitals and not, with a colon and alone on its line."""
    for written in (f"{heading}:  ", f"{heading.capitalize()}: ", f"{heading}\n"):
        text = f"EXAMINATION: Chest.\n\n{written}Something small is said.\n\nSIGNED: Nobody.\n"
        assert getattr(sections(text), section).startswith("Something small is said."), written


@pytest.mark.parametrize("heading", ["COMPRESSION", "DEPRESSION", "LUNGS", "MEDICATION"])
def test_a_word_that_only_looks_alike_is_no_heading(heading: str) -> None:
    text = f"FINDINGS: Clear.\n{heading}: None.\n"
    assert sections(text).findings == f"Clear. {heading}: None."


def test_case_22_mimic_headings() -> None:
    folder = SHARED / "cases" / "22_mimic_headings"
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    first = sections((folder / "impession.txt").read_text())
    assert (first.findings, first.impression) == ("Lungs are clear.", "No acute process.")
    second = sections((folder / "impression_and_recommendation.txt").read_text())
    assert (second.findings, second.impression) == ("", "Clear lungs. Repeat in a year.")
