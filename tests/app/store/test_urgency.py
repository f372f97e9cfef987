"""The order that the worklist proposes."""

import pytest

from app.store.records import Finding
from app.store.urgency import is_malpositioned, urgency
from app.store_options import DEFAULT_WEIGHTS, MALPOSITION, parse_weights
from model.errors import ConfigError


def found(name: str, probability: float | None = 1.0) -> Finding:
    return Finding(name, (), None, "definite", probability)


def test_the_gravest_counts_and_more_of_it_a_little() -> None:
    alone = urgency("", [found("pneumothorax")], DEFAULT_WEIGHTS)
    many = urgency("", [found("nodule")] * 3, DEFAULT_WEIGHTS)
    both = urgency("", [found("pneumothorax"), found("nodule")], DEFAULT_WEIGHTS)
    assert both > alone > many > 0
    assert urgency("", [], DEFAULT_WEIGHTS) == 0
    assert urgency("", [found("pneumothorax", 0.1)], DEFAULT_WEIGHTS) < alone


@pytest.mark.parametrize(
    ("text", "malpositioned"),
    [
        ("The endotracheal tube is too low.", True),
        ("ETT in the right main bronchus. Withdraw it.", True),
        ("The central line is coiled in the jugular vein.", True),
        ("The endotracheal tube is in appropriate position.", False),
        ("No malposition of the central line.", False),
        ("The lungs are too low.", False),
    ],
)
def test_a_misplaced_tube_is_urgent(text: str, malpositioned: bool) -> None:
    assert is_malpositioned(text) is malpositioned
    assert (urgency(text, [], DEFAULT_WEIGHTS) > 5) is malpositioned


def test_weights_are_read() -> None:
    weights = parse_weights("nodule=7, tube_malposition = 1.5")
    assert (weights["nodule"], weights[MALPOSITION]) == (7.0, 1.5)
    assert weights["pneumothorax"] == DEFAULT_WEIGHTS["pneumothorax"]
    assert parse_weights("") == dict(DEFAULT_WEIGHTS)


@pytest.mark.parametrize(
    "text", ["nodule", "nodule=x", "nodule=-1", "cancer=3", "nodule=nan", "=1"]
)
def test_a_wrong_weight_is_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match="is no weight"):
        parse_weights(text)
