"""A study as it is put into the store, from the service's uploads and from a batch."""

import hashlib
from collections.abc import Mapping, Sequence

from app.api.answers import encode_image
from app.api.schemas import ReportAnswer
from app.store.records import NewImage, NewStudy, Source
from crossray import __version__
from model.exam import Exam
from model.imaging.header import HEAD_BYTES, header_values

__all__ = ["new_study"]

ELEMENTS = ("AccessionNumber", "PatientName", "PatientID")
SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def new_study(
    contents: Sequence[bytes],
    exam: Exam,
    written: ReportAnswer,
    name: str,
    source: Source,
    options: Mapping[str, object],
) -> NewStudy:
    """What is kept of a study: its files as they came, small images of them, and the draft.

    Args:
        contents: the files, in the order of `exam.shown`.
        written: the draft, without pixels.
        name: what the worklist calls it; the accession number where it is empty.
    """
    images = tuple(
        NewImage(content, _media_type(content), encode_image(radiograph.pixels))
        for content, radiograph in zip(contents, exam.shown, strict=True)
    )
    values = header_values(contents[0][:HEAD_BYTES], ELEMENTS)
    accession = values.get("AccessionNumber")
    unnamed = f"study {hashlib.sha256(contents[0]).hexdigest()[:8]}"
    return NewStudy(
        name=name.strip() or accession or unnamed,
        images=images,
        answer=written,
        software=__version__,
        source=source,
        options=options,
        accession=accession,
        patient_name=values.get("PatientName"),
        patient_id=values.get("PatientID"),
    )


def _media_type(content: bytes) -> str:
    for signature, media_type in SIGNATURES.items():
        if content.startswith(signature):
            return media_type
    return "application/dicom"
