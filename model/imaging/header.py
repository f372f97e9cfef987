"""What a DICOM file's header says of its study, read in bounds and without decoding the image.

Whoever asks names the elements, and no other is parsed. UIDs and numbers identify a patient: hash
them, and build no path of them.
"""

import hashlib
import re
import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from model.imaging.radiograph import Identity

__all__ = ["HEAD_BYTES", "header_values", "looks_like_dicom", "read_identity"]

HEAD_BYTES = 2**20
"""How far into a file its header is looked for, also once inflated: a hostile header can cost no
more than this, and a real one is a few kilobytes."""
META_GROUP = 0x0002
_IDENTITY = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "StudyDate", "StudyTime")


def header_values(head: bytes, keywords: Sequence[str]) -> dict[str, str]:
    """The elements of a DICOM file that have a value, by keyword.

    Args:
        head: the first HEAD_BYTES of the file.
        keywords: of elements outside of sequences, such as "StudyInstanceUID".

    Returns:
        Their values as text without padding. Nothing for what is no DICOM file, or is damaged:
        reading its image reports what is wrong with it.
    """
    if not looks_like_dicom(head):
        return {}
    start = _start(head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom quotes the value that it finds odd
            found = _read(BytesIO(head[start:]), [Tag(keyword) for keyword in keywords])
            values = {word: str(found.get(word) or "").strip(" \0") for word in keywords}
    except Exception:
        # pydicom raises nearly anything on a corrupt header, RecursionError too.
        return {}
    return {word: value for word, value in values.items() if value}


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file begins as one of DICOM, with a preamble or without.

    Args:
        head: its first 134 bytes or more.
    """
    start = _start(head)
    return head[start : start + 2] in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}


def _start(head: bytes) -> int:
    return 132 if head[128:132] == b"DICM" else 0


def read_identity(data: bytes) -> Identity:
    """Whose image a DICOM file holds, as hashes that can be compared.

    Args:
        data: the file, of which only the first HEAD_BYTES are parsed.
    """
    values = header_values(data[:HEAD_BYTES], _IDENTITY)
    # ACR-NEMA wrote dates as 2024.02.29 and times as 10:22:05.
    date = re.sub(r"\D", "", values.get("StudyDate", ""))
    time = re.sub(r"\D", "", values.get("StudyTime", "").partition(".")[0])
    patient = [values[word] for word in _IDENTITY[:2] if word in values]
    return Identity(
        patient=_hashed(*patient) if "PatientID" in values else None,
        study=_hashed(values["StudyInstanceUID"]) if "StudyInstanceUID" in values else None,
        date=date if len(date) == 8 else "",
        time=time.ljust(6, "0") if len(time) in {2, 4, 6} else "",
    )


def _hashed(*values: str) -> str:
    return hashlib.sha256("\\".join(values).encode("utf-8", "replace")).hexdigest()


def _read(stream: BytesIO, tags: list[Any]) -> Dataset:
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag >> 16 != META_GROUP)
    syntax = meta.get("TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(), HEAD_BYTES)
        stream = BytesIO(inflated)
    little = syntax != ExplicitVRBigEndian
    if syntax is None:
        first = stream.getvalue()[stream.tell() : stream.tell() + 6]
        little = first[:1] != b"\x00"
        implicit = not first[4:6].isupper()
    else:
        implicit = syntax == ImplicitVRLittleEndian
    last = max(tags)
    return read_dataset(
        stream, implicit, little, stop_when=lambda tag, *_: tag > last, specific_tags=tags
    )
