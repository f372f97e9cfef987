"""A radiograph is normal where labels say so, and not where they merely say nothing."""

import pytest

from data_prep.labels import is_normal


@pytest.mark.parametrize(
    ("labels", "normal"),
    [
        ({"Pneumonia": 0, "Effusion": 0}, True),
        ({"opacity": 0, "pacemaker": 0}, True),
        ({"Pneumonia": 0, "Effusion": 1}, False),
        ({"Pneumonia": 0, "Fracture": 1}, False),
        ({"Pneumonia": 0, "Effusion": -1}, False),
        ({"Pneumonia": -1}, False),
        # As MIMIC-CXR has it.
        ({"No Finding": 1}, True),
        ({"No Finding": 1, "Lung Opacity": 0}, True),
        ({"No Finding": 1, "Fracture": 1}, False),
        ({"No Finding": 0, "Lung Opacity": 0}, False),
        # Of the lungs nothing is known.
        ({"pacemaker": 0, "central_line": 0}, False),
        ({"pacemaker": 1}, False),
        ({}, False),
        (None, False),
    ],
)
def test_normal(labels: dict[str, int] | None, normal: bool) -> None:
    assert is_normal(labels) == normal
