"""What a DICOM file's header says of its study, read in bounds and without decoding the image.

Whoever asks names the elements, and no other is parsed. UIDs and numbers identify a patient: hash
them, and build no path of them.
"""

import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

__all__ = ["HEAD_BYTES", "header_values"]

HEAD_BYTES = 2**20
"""How far into a file its header is looked for, also once inflated: a hostile header can cost no
more than this, and a real one is a few kilobytes."""
META_GROUP = 0x0002


def header_values(head: bytes, keywords: Sequence[str]) -> dict[str, str]:
    """The elements of a DICOM file that have a value, by keyword.

    Args:
        head: the first HEAD_BYTES of the file.
        keywords: of elements outside of sequences, such as "StudyInstanceUID".

    Returns:
        Their values as text without padding. Nothing for what is no DICOM file, or is damaged:
        reading its image tells what is wrong with it.
    """
    start = 132 if head[128:132] == b"DICM" else 0
    if head[start : start + 2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom quotes the value that it finds odd
            found = _read(BytesIO(head[start:]), [Tag(keyword) for keyword in keywords])
            values = {word: str(found.get(word) or "").strip(" \0") for word in keywords}
    except Exception:
        # pydicom raises nearly anything on a corrupt header, RecursionError too.
        return {}
    return {word: value for word, value in values.items() if value}


def _read(stream: BytesIO, tags: list) -> Dataset:
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
