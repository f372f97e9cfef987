"""Where absent findings would show: disjoint from what is there, on the right side, and stored."""

import json
from dataclasses import replace

import pytest

from data_prep.manifest import parse_study, read_studies, study_line
from data_prep.phantom.prepare import PhantomOptions, prepare_phantom
from data_prep.phantom.study import Additions, make_phantom

SIZE = 64


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(31, index, SIZE) for index in range(40)]


def test_a_place_is_of_what_is_absent_and_lies_on_the_image(phantoms) -> None:
    assert any(phantom.findings for phantom in phantoms)
    for phantom in phantoms:
        there = {finding.name for finding in phantom.findings}
        assert phantom.places
        for place in phantom.places:
            x0, y0, x1, y1 = place.box
            assert place.absent and place.name not in there
            assert 0 <= x0 < x1 <= SIZE and 0 <= y0 < y1 <= SIZE


def test_right_lies_left_of_left_and_angles_below_apices(phantoms) -> None:
    for phantom in phantoms:
        places = {(place.name, place.side): place.box for place in phantom.places}
        for name in ("pleural_effusion", "pneumothorax", "opacity", "rib_fracture", "edema"):
            if (name, "right") in places:
                assert places[name, "right"][2] <= places[name, "left"][0] + SIZE // 8
        for side in ("right", "left"):
            pair = ("pleural_effusion", side), ("pneumothorax", side)
            if set(pair) <= places.keys():
                assert places[pair[1]][3] < places[pair[0]][1]


def test_effusions_lie_where_their_absence_is_inspected(phantoms) -> None:
    """An absent finding's place is where another patient's finding is seen."""
    absent = [p.box for each in phantoms for p in each.places if p.name == "pleural_effusion"]
    seen = [f.box for each in phantoms for f in each.findings if f.name == "pleural_effusion"]
    assert seen
    floor = sum(box[3] for box in seen) / len(seen)
    assert abs(floor - sum(box[3] for box in absent) / len(absent)) < SIZE / 10


def test_an_occluded_image_has_no_places() -> None:
    occluded = [make_phantom(31, index, SIZE, Additions(occluded=1.0)) for index in range(12)]
    plain = [make_phantom(31, index, SIZE) for index in range(12)]
    changed = [
        c
        for c, p in zip(occluded, plain, strict=True)
        if (c.images[0].pixels != p.images[0].pixels).any()
    ]
    assert changed and not any(each.places for each in changed)


def test_a_manifest_keeps_them_and_others_stay_as_they_were(tmp_path) -> None:
    with_places, without = tmp_path / "with", tmp_path / "without"
    for folder, places in ((with_places, True), (without, False)):
        prepare_phantom(folder, PhantomOptions(4, 31, SIZE, places=places), 1, progress=False)
    one, other = (list(read_studies(folder)) for folder in (with_places, without))
    assert all(study.places for study in one)
    assert [replace(study, places=()) for study in one] == other
    assert all(parse_study(study_line(study)) == study for study in one)
    for line in (without / "studies.jsonl").read_text().splitlines():
        assert "places" not in json.loads(line) and "absent" not in line
