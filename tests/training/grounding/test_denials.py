"""Denials are measured against where the finding would show."""

from dataclasses import replace

import pytest
from grounding_material import saying, write_phantoms

from data_prep.manifest import Study
from data_prep.phantom.study import make_phantom
from model.network import ReportModel
from training.grounding.cases import Subject, of_folder
from training.grounding.denials import DENIALS, measure_denials

Material = tuple[ReportModel, list[Study], list[Subject]]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("denials")
    studies = write_phantoms(folder, 6)
    model, tokenizer = saying(studies)
    _, subjects = of_folder(folder, tokenizer, model.config)
    sizes = [study.images[0].width for study in studies]
    placed = [
        replace(study, places=make_phantom(21, index, size).places)
        for index, (study, size) in enumerate(zip(studies, sizes, strict=True))
    ]
    return model, placed, subjects


def test_shares_and_counts(material: Material) -> None:
    model, studies, subjects = material
    scores = measure_denials(model, studies, subjects, progress=False)
    assert scores is not None and tuple(scores) == DENIALS
    count = scores["pointing"].n
    assert count >= len(studies) and scores["lowered"].n == scores["nats"].n == count
    assert 0 < scores["control_lowered"].n <= count
    for name in ("pointing", "on_images", "lowered", "control_lowered"):
        assert 0 <= scores[name].value <= 1


def test_a_place_that_is_the_whole_image_is_always_pointed_into(material: Material) -> None:
    """And there is nowhere else to cover."""
    model, studies, subjects = material
    whole = [
        replace(s, places=tuple(replace(p, box=(0, 0, s.images[0].width, s.images[0].height))
                                for p in s.places))
        for s in studies
    ]  # fmt: skip
    scores = measure_denials(model, whole, subjects, progress=False)
    assert scores is not None and scores["pointing"].value == 1
    assert scores["control_nats"].n == 0


def test_without_places_nothing_is_measured(material: Material) -> None:
    model, studies, subjects = material
    bare = [replace(study, places=()) for study in studies]
    assert measure_denials(model, bare, subjects, progress=False) is None
