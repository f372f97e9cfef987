"""The labels that a careful reader gives to sentences as radiologists dictate them.

tests/data/label_sentences.csv was labeled before the rules were asked. The half "develop" was used
to write the rules; "held out" only measures. "?" is not judged, and what is not listed is blank; No
Finding is judged only where it is listed.
"""

import csv
import importlib.util
from pathlib import Path

import pytest
from paths import SHARED

from training.report_scores.observations import NO_FINDING, OBSERVATIONS, labels_of

SENTENCES = Path(__file__).parents[2] / "data" / "label_sentences.csv"
CASES = SHARED / "cases" / "20_label_sentences" / "labels.py"


def wrong(sentence: str, expected: dict[str, str]) -> list[str]:
    """What the rules read differently, in words."""
    labels = labels_of(sentence)
    found = []
    for name in OBSERVATIONS:
        right = expected.get(name, "?" if name == NO_FINDING else "")
        value = str(int(labels[name])) if name in labels else ""
        if right not in ("?", value):
            found.append(f"{sentence} {name}: {value or 'blank'}, not {right or 'blank'}")
    return found


def written(half: str) -> list[tuple[str, dict[str, str]]]:
    with SENTENCES.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["half"] == half]
    return [
        (
            row["sentence"],
            dict(part.split("=") for part in row["labels"].split("; ") if part),  # type: ignore[misc]
        )
        for row in rows
    ]


@pytest.mark.parametrize(("half", "least"), [("develop", 0.99), ("held out", 0.95)])
def test_sentences_are_labeled_as_a_careful_reader_does(half: str, least: float) -> None:
    sentences = written(half)
    names = {name for _, expected in sentences for name in expected}
    assert names == set(OBSERVATIONS) and len(sentences) > 100
    faults = [fault for sentence, expected in sentences if (fault := wrong(sentence, expected))]
    assert 1 - len(faults) / len(sentences) >= least, faults


def test_case_20_label_sentences() -> None:
    if not CASES.exists():
        pytest.skip(f"{CASES} is absent")
    spec = importlib.util.spec_from_file_location("label_cases", CASES)
    assert spec is not None and spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    faults = []
    for sentence, codes in cases.T:
        expected = {
            cases.L[code[1] if code[0] == "?" else code[0]]: "?" if code[0] == "?" else code[1:]
            for code in codes.split()
        }
        faults += [fault] if (fault := wrong(sentence, expected)) else []
    assert 1 - len(faults) / len(cases.T) >= 0.95, faults
