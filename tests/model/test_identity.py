"""Files of two patients never become one report, and a prior is of the same patient and earlier."""

from collections.abc import Callable

import pytest
from material import PATIENT

from model.errors import IdentityMismatch
from model.exam import Exam
from model.identity import check_identity
from model.imaging.header import read_identity
from model.imaging.radiograph import Identity, Radiograph
from model.imaging.read import read_image
from model.imaging.sandbox import read_image_isolated

Made = Callable[..., bytes]
OTHER = {"PatientID": "Q-1"}
EARLIER = {"StudyInstanceUID": "1.2.3", "StudyDate": "20200101"}


def read(content: bytes) -> Radiograph:
    return read_image(content)


def codes(exam: Exam, insist: bool = False) -> list[str]:
    return [warning.code for warning in check_identity(exam, insist)]


def test_one_study_of_one_patient_passes(make_dicom: Made) -> None:
    views = [read(make_dicom()), read(make_dicom(ViewPosition="LL"))]
    assert codes(Exam(views)) == []
    assert codes(Exam(views, priors=[read(make_dicom(**EARLIER))])) == []


@pytest.mark.parametrize(
    ("other", "element"),
    [
        (OTHER, "PatientID"),
        (OTHER | {"StudyInstanceUID": "1.2.3"}, "PatientID"),
        ({"IssuerOfPatientID": "Other hospital"}, "PatientID"),
        ({"StudyInstanceUID": "1.2.3"}, "StudyInstanceUID"),
    ],
)
def test_two_patients_or_studies_are_refused_unless_the_user_insists(
    make_dicom: Made, other: dict[str, str], element: str
) -> None:
    exam = Exam([read(make_dicom()), read(make_dicom(**other))])
    with pytest.raises(IdentityMismatch, match=f"images 1 and 2 .*{element}"):
        check_identity(exam)
    warnings = check_identity(exam, insist=True)
    assert {warning.code for warning in warnings} == {"identity_mismatch"}
    assert element in " ".join(warning.message for warning in warnings)


@pytest.mark.parametrize(
    ("prior", "element"),
    [
        (EARLIER | OTHER, "PatientID"),
        ({}, "of this one"),
        ({"StudyInstanceUID": "1.2.3", "StudyDate": "20240301"}, "StudyDate"),
        ({"StudyInstanceUID": "1.2.3", "StudyTime": "101500"}, "StudyDate"),
    ],
)
def test_a_prior_is_of_the_same_patient_and_earlier(
    make_dicom: Made, prior: dict[str, str], element: str
) -> None:
    current = [read(make_dicom(StudyTime="101500.123"))]
    exam = Exam(current, priors=[read(make_dicom(**{"StudyTime": "101500"} | prior))])
    with pytest.raises(IdentityMismatch, match=element):
        check_identity(exam)
    assert "identity_mismatch" in codes(exam, insist=True)


def test_a_prior_of_the_same_morning_passes(make_dicom: Made) -> None:
    prior = read(make_dicom(StudyInstanceUID="1.2.3", StudyTime="08"))
    assert codes(Exam([read(make_dicom(StudyTime="0815"))], priors=[prior])) == []


def test_what_cannot_be_compared_is_said(make_dicom: Made, make_png: Made) -> None:
    images = [read(make_png()), read(make_png(1))]
    assert codes(Exam(images[:1])) == []
    assert codes(Exam(images)) == ["identity_unchecked"]
    assert codes(Exam([read(make_dicom()), *images])) == ["identity_unchecked"]
    undated = read(make_dicom(**EARLIER | {"StudyDate": ""}))
    assert codes(Exam([read(make_dicom())], priors=[undated])) == ["identity_unchecked"]
    unnamed = [read(make_dicom(PatientID="", ViewPosition=view)) for view in ("PA", "LL")]
    assert codes(Exam(unnamed)) == []  # of one study
    [warning] = check_identity(Exam(unnamed, priors=[read(make_dicom(**EARLIER))]))
    assert "image 3" in warning.message


def test_an_identity_can_be_compared_and_not_read(make_dicom: Made) -> None:
    content = make_dicom(StudyTime="101500.5")
    identity = read_identity(content)
    assert identity == read(content).identity == read_image_isolated(content).identity
    assert (identity.date, identity.time) == (PATIENT["StudyDate"], "101500")
    for secret in PATIENT.values():
        assert secret not in repr(identity)
        assert secret not in (identity.patient or "") + (identity.study or "")
    exam = Exam([read(content), read(make_dicom(**OTHER))])
    for warning in check_identity(exam, insist=True):
        assert not any(secret in warning.message for secret in (*PATIENT.values(), "Q-1"))


def test_dates_as_older_files_write_them(make_dicom: Made) -> None:
    with pytest.warns(UserWarning, match="Invalid value for VR"):
        content = make_dicom(StudyDate="2024.02.29", StudyTime="10:15:00")
    identity = read_identity(content)
    assert (identity.date, identity.time) == ("20240229", "101500")


def test_what_is_no_dicom_has_no_identity(make_png: Made) -> None:
    assert read(make_png()).identity == Identity() == read_identity(b"")
