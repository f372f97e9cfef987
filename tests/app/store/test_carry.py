"""A draft carried over to an edited text: what is unchanged keeps its words and maps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_studies import DRAFT

from app.store.carry import carry, current_findings

WORDS = DRAFT.text.split()


def test_an_unchanged_text_is_the_draft() -> None:
    carried = carry(DRAFT, DRAFT.text)
    assert carried.report == DRAFT
    assert carried.by_reader == ()


def test_new_words_are_the_readers_and_the_rest_keeps_its_maps() -> None:
    text = "Findings: There is a small right pneumothorax. The heart is normal in size."
    carried = carry(DRAFT, text)
    assert [text[slice(*span)] for span in carried.by_reader] == ["small right"]
    kept = {word.text: word for word in carried.report.words}
    assert "left" not in kept
    word = kept["pneumothorax"]
    assert text[word.start : word.end] == "pneumothorax"
    assert word.heatmap == DRAFT.words[4].heatmap
    assert [s.text for s in carried.report.sentences] == ["The heart is normal in size."]


def test_a_finding_in_a_changed_sentence_is_not_the_drafts_any_more() -> None:
    assert [f.name for f in DRAFT.findings] == ["pneumothorax"]
    denied = DRAFT.text.replace("a left", "no left")
    assert carry(DRAFT, denied).report.findings == []
    assert current_findings(DRAFT, denied) == ()
    elsewhere = DRAFT.text.replace("normal in size", "enlarged")
    assert [f.name for f in carry(DRAFT, elsewhere).report.findings] == ["pneumothorax"]
    found = {f.name: f.probability for f in current_findings(DRAFT, elsewhere)}
    assert found == {"pneumothorax": 0.8, "cardiomegaly": None}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([*WORDS, "no", "Impression:", "\n\n", "caf\u00e9", "\U0001fac1", "--"])
    ),
)
def test_every_span_says_what_stands_there(words: list[str]) -> None:
    text = " ".join(words)
    carried = carry(DRAFT, text)
    report = carried.report
    for part in [*report.words, *report.sections]:
        assert text[part.start : part.end] == part.text
    for part in [*report.sentences, *report.findings]:
        assert text[part.start : part.end].split() == part.text.split()
        for index in part.words:
            word = report.words[index]
            assert part.start <= word.start and word.end <= part.end
    marked = [(w.start, w.end) for w in report.words] + list(carried.by_reader)
    for (_, end), (start, _) in zip(sorted(marked), sorted(marked)[1:], strict=False):
        assert end <= start
    assert [DRAFT.words[k].text for k in carried.kept] == [w.text for w in report.words]


@pytest.mark.parametrize("text", ["", " ", "Findings:"])
def test_nothing_is_left_of_nothing(text: str) -> None:
    carried = carry(DRAFT, text)
    assert carried.report.words == [] and carried.report.findings == []
