"""What a report states of each finding, by example."""

import pytest

from model.report_text.statements import read_statements


def stated(text: str) -> set[tuple[str, bool, str, str | None, str | None]]:
    return {
        (each.name, each.present, "+".join(sorted(each.sides)), each.zone, each.severity)
        for each in read_statements(text)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Small left pleural effusion. Dense right upper lobe opacity.",
            {
                ("pleural_effusion", True, "left", None, "mild"),
                ("opacity", True, "right", "upper", "severe"),
            },
        ),
        ("The heart is moderately enlarged.", {("cardiomegaly", True, "", None, "moderate")}),
        (
            "No focal consolidation, pleural effusion or pneumothorax.",
            {
                ("opacity", False, "", None, None),
                ("pleural_effusion", False, "", None, None),
                ("pneumothorax", False, "", None, None),
            },
        ),
        ("No left pleural effusion.", {("pleural_effusion", False, "left", None, None)}),
        ("No large pleural effusion.", set()),
        ("No displaced rib fracture.", set()),
        ("Heart size is normal.", {("cardiomegaly", False, "", None, None)}),
        ("The heart is not normal in size.", set()),
        ("Lungs are clear of effusion.", {("pleural_effusion", False, "", None, None)}),
        ("The costophrenic angles are sharp.", {("pleural_effusion", False, "", None, None)}),
        ("History of pneumonia.", set()),
        ("Small to moderate right effusion.", {("pleural_effusion", True, "right", None, None)}),
    ],
)
def test_statements(text, expected) -> None:
    assert stated(text) == expected


def test_clear_lungs_deny_what_lies_in_them() -> None:
    names = {name for name, present, *_ in stated("Both lungs are well aerated and clear.")}
    assert names == {"opacity", "edema", "atelectasis", "nodule"}
    assert not any(present for _, present, *_ in stated("The lungs are clear bilaterally."))


def test_places_are_those_of_the_text() -> None:
    text = "Findings: The heart is normal in size. There is a tiny right apical pneumothorax."
    words = [text[each.start : each.end] for each in read_statements(text)]
    assert words == ["heart is normal", "pneumothorax"]
