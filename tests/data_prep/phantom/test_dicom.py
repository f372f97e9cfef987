"""Laws of phantoms as DICOM: valid to dciodvfy, read back as they were, the same from one seed."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dicom_files import image
from pydicom import dcmread

from data_prep.phantom.dicom import TOLERANCE, Instance, write_dx
from model.errors import ConfigError
from model.imaging.read import read_image

SHOWN = image(96, 80).astype(np.float32)
SEEDS = range(60)
VIEWS = ("AP", "PA", "LATERAL")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("dx")
    paths = [folder / f"{seed}.dcm" for seed in SEEDS]
    for seed, path in zip(SEEDS, paths, strict=True):
        write_dx(path, SHOWN, VIEWS[seed % 3], np.random.default_rng(seed))
    return paths


def test_the_image_is_read_back(files):
    for seed, path in zip(SEEDS, files, strict=True):
        radiograph = read_image(path)
        assert radiograph.view == VIEWS[seed % 3]
        assert np.abs(radiograph.pixels - SHOWN).max() <= TOLERANCE


def test_the_kinds_that_hospitals_have_are_all_there(files):
    headers = [dcmread(path, stop_before_pixels=True) for path in files]
    assert {ds.BitsStored for ds in headers} == {12, 14, 15, 16}
    assert {(ds.PhotometricInterpretation, ds.PresentationLUTShape) for ds in headers} == {
        ("MONOCHROME1", "INVERSE"),
        ("MONOCHROME2", "IDENTITY"),
    }
    assert len({ds.file_meta.TransferSyntaxUID for ds in headers}) == 6
    assert {ds.get("VOILUTFunction") for ds in headers} >= {None, "LINEAR_EXACT", "SIGMOID"}
    assert any("VOILUTSequence" in ds for ds in headers)
    assert any(ds["WindowWidth"].VM == 3 for ds in headers if "WindowWidth" in ds)
    assert all(str(ds.PatientName).startswith("PHANTOM^") for ds in headers)


def test_one_seed_gives_one_file_and_another_seed_another(tmp_path, files):
    again = tmp_path / "again.dcm"
    for seed in (0, 1, 2):
        write_dx(again, SHOWN, VIEWS[seed % 3], np.random.default_rng(seed))
        assert again.read_bytes() == files[seed].read_bytes()
    assert len({dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in files}) == 60


def test_the_study_may_be_given(tmp_path):
    path = tmp_path / "file.dcm"
    write_dx(path, SHOWN, "PA", np.random.default_rng(3), Instance("2.25.7"))
    assert dcmread(path, stop_before_pixels=True).StudyInstanceUID == "2.25.7"


def test_images_of_a_study_are_told_apart_and_a_prior_is_earlier(tmp_path):
    headers = []
    for number, view in enumerate(("PA", "LATERAL", "AP")):
        path, prior = tmp_path / f"{number}.dcm", number == 2
        rng, study = np.random.default_rng(3), "2.25.8" if prior else "2.25.7"
        instance = Instance(study, 1 if prior else number + 1, prior)
        write_dx(path, SHOWN, view, rng, instance)
        headers.append(dcmread(path, stop_before_pixels=True))
    frontal, lateral, prior = headers
    assert frontal.PatientID == lateral.PatientID == prior.PatientID
    assert frontal.StudyInstanceUID == lateral.StudyInstanceUID != prior.StudyInstanceUID
    assert len({header.SOPInstanceUID for header in headers}) == 3
    assert prior.StudyDate < frontal.StudyDate == lateral.StudyDate
    assert (lateral.ViewPosition, lateral.PatientOrientation) == ("LL", ["P", "F"])
    assert lateral.ViewCodeSequence[0].CodeMeaning == "left lateral"


def test_black_and_white_images_survive(tmp_path):
    for value in (0, 1):
        for seed in range(12):
            path = tmp_path / f"{seed}.dcm"
            flat = np.full((40, 36), value, np.float32)
            write_dx(path, flat, "PA", np.random.default_rng(seed))
            assert np.abs(read_image(path).pixels - value).max() <= TOLERANCE


def test_another_view_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'OBLIQUE'"):
        write_dx(tmp_path / "file.dcm", SHOWN, "OBLIQUE", np.random.default_rng(0))


@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="no dciodvfy: install Debian's dicom3tools"
)
def test_dciodvfy_finds_no_error(files):
    for path in files:
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert "DXImageForPresentation" in said
        assert [line for line in said if line.startswith("Error")] == []
