"""Prepared folders: the same whatever made them, finished after an interruption, never mixed up."""

import json

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from data_prep.manifest import FINDINGS, manifest_hash, parse_study, read_studies, study_line
from data_prep.phantom import prepare
from data_prep.phantom.prepare import PhantomOptions, prepare_phantom
from data_prep.phantom.study import Additions
from model.errors import ConfigError, DataError
from model.imaging.read import read_image


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    prepare_phantom(out, PhantomOptions(120, 2, 64), workers=1, progress=False)
    return out


def test_a_folder_without_further_images_is_what_it_always_was(tmp_path):
    """The same images and reports as before there were laterals; the sum is of today's keys."""
    digest = prepare_phantom(
        tmp_path, PhantomOptions(60, 2, 64, additions=Additions(0.3)), workers=1, progress=False
    )
    assert digest == "ee7ccce50f2d8f571756c1ad99eb9b6696ac9eae6c6cfccbf09e11bfd4bcbeb6"


def test_more_processes_write_the_same_folder(prepared, tmp_path):
    prepare_phantom(tmp_path, PhantomOptions(120, 2, 64), workers=2, progress=False)
    assert manifest_hash(tmp_path) == manifest_hash(prepared)
    for name in ("tokenizer.json", "prepared.json", "images/0000007.png"):
        assert (tmp_path / name).read_bytes() == (prepared / name).read_bytes()


def test_an_interrupted_run_makes_only_what_is_missing(prepared, tmp_path, monkeypatch):
    prepare_phantom(tmp_path, PhantomOptions(120, 2, 64), workers=1, progress=False)
    (tmp_path / "parts" / "0000050-0000100.jsonl").unlink()
    (tmp_path / "studies.jsonl").unlink()
    made = []
    make_parts = prepare._make_parts
    monkeypatch.setattr(
        prepare,
        "_make_parts",
        lambda job, missing, *a: (made.extend(missing), make_parts(job, missing, *a)),
    )
    prepare_phantom(tmp_path, PhantomOptions(120, 2, 64), workers=1, progress=False)
    assert made == [range(50, 100)]
    assert manifest_hash(tmp_path) == manifest_hash(prepared)


def test_another_request_is_refused_and_loses_nothing(prepared):
    before = manifest_hash(prepared)
    with pytest.raises(DataError, match="asked for"):
        prepare_phantom(prepared, PhantomOptions(120, 3, 64), workers=1, progress=False)
    assert manifest_hash(prepared) == before


@pytest.mark.parametrize("wrong", [{"studies": 0}, {"seed": -1}, {"size": 10}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        PhantomOptions(**{"studies": 5, "seed": 1, "size": 64, **wrong})


@pytest.mark.parametrize("wrong", [{"lateral": 1.5}, {"prior": -0.5}])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        Additions(**wrong)


def test_the_manifest_reads_back(prepared):
    studies = list(read_studies(prepared))
    assert [study.id for study in studies] == sorted(study.id for study in studies)
    assert {study.split for study in studies} == {"train", "validate", "test"}
    assert all(parse_study(study_line(study)) == study for study in studies)
    assert len(list(read_studies(prepared, "test"))) == 6


def test_images_and_masks_are_there(prepared):
    for study in read_studies(prepared):
        (image,) = study.images
        pixels = cv2.imread(str(prepared / image.path), cv2.IMREAD_UNCHANGED)
        assert pixels.shape == (image.height, image.width) and pixels.dtype == np.uint8
        assert (image.mask is None) == (not study.findings)
        if image.mask:
            mask = cv2.imread(str(prepared / image.mask), cv2.IMREAD_UNCHANGED)
            bits = np.bitwise_or.reduce(mask, axis=None)
            assert {FINDINGS[k] for k in range(16) if bits >> k & 1} == {
                finding.name for finding in study.findings
            }


def test_a_folder_tells_of_further_images_only_where_there_are_some(prepared, tmp_path):
    told = json.loads((prepared / "prepared.json").read_text())
    assert not {"lateral", "prior", "indication"} & set(told)
    with pytest.raises(DataError, match="asked for"):
        prepare_phantom(
            prepared, PhantomOptions(120, 2, 64, additions=Additions(lateral=0.5)), progress=False
        )
    additions = Additions(0.3, 1.0, 1.0, 1.0)
    prepare_phantom(tmp_path, PhantomOptions(20, 2, 64, True, additions), 1, progress=False)
    noted = json.loads((tmp_path / "prepared.json").read_text())
    assert vars(additions).items() <= noted.items()
    with pytest.raises(DataError, match="asked for"):
        prepare_phantom(tmp_path, PhantomOptions(20, 2, 64, True, Additions(0.3)), progress=False)


def test_every_image_of_a_study_has_its_files(tmp_path):
    additions = Additions(lateral=0.6, prior=0.6, indication=0.6)
    prepare_phantom(tmp_path, PhantomOptions(30, 2, 64, True, additions), 1, progress=False)
    studies = list(read_studies(tmp_path))
    assert {len(study.images) for study in studies} == {1, 2, 3}
    assert 0 < sum(bool(study.indication) for study in studies) < len(studies)
    for study in studies:
        frontal = dcmread(tmp_path / "dicom" / f"{study.id}.dcm", stop_before_pixels=True)
        for number, image in enumerate(study.images):
            name = f"{study.id}_{number}" if number else study.id
            assert image.path == f"images/{name}.png"
            pixels = cv2.imread(str(tmp_path / image.path), cv2.IMREAD_UNCHANGED)
            assert pixels.shape == (image.height, image.width)
            found = [f for f in study.findings if f.image == number]
            assert (image.mask is not None) == bool(found)
            assert not (image.prior and found)
            dicom = tmp_path / "dicom" / f"{name}.dcm"
            read = read_image(dicom)
            assert read.view == image.view
            assert np.abs(read.pixels - pixels / 255).max() < 0.01
            header = dcmread(dicom, stop_before_pixels=True)
            assert header.PatientID == frontal.PatientID
            same = header.StudyInstanceUID == frontal.StudyInstanceUID
            assert same == (not image.prior)


def test_a_line_that_is_not_a_study_is_named(tmp_path):
    (tmp_path / "studies.jsonl").write_text(json.dumps({"id": "x"}) + "\n")
    with pytest.raises(DataError, match=r"studies\.jsonl line 1"):
        list(read_studies(tmp_path))
    with pytest.raises(DataError, match="crossray prepare"):
        list(read_studies(tmp_path / "nowhere"))
