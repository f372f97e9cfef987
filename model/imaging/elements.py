"""The elements of one DICOM data set, read tolerantly; what was repaired or passed over is noted.

pydicom's own conversion raises on a decimal comma, so values are taken as they stand in the file
and read here. No message quotes a value but a number that was understood or a known code: the rest
may be a patient's name.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from model.imaging.radiograph import ImageWarning, WarningCode

__all__ = ["DAMAGE", "Elements", "tolerant_numbers"]

DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    BytesLengthException,
    InvalidDicomError,
    struct.error,
    zlib.error,
)
"""What pydicom and the decoders raise on damaged files; RecursionError is a RuntimeError."""
_BINARY = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8", "US or SS": "u2"}
_STANDARD = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
"""A decimal string or integer string as DICOM PS3.5 6.2 has it."""
_WITH_UNIT = re.compile(rf"({_STANDARD})\s*[A-Za-z%/]*")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d*")
_COMMA = re.compile(r"([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)")
_LISTED = re.compile(r"\s*[,;]\s+|\s*;\s*|(?<=\d)\s+(?=[-+.\d])")
_AROUND = " \0\t\r\n[](){}<>\"'="


def tolerant_numbers(text: str) -> tuple[list[float | None], bool]:
    """The numbers of a decimal or integer string, however it is written.

    Decimal commas, thousands' separators, brackets, quotes, a unit behind the number, lists by
    comma instead of backslash and empty values are understood.

    Returns:
        Each value, None where it is no number (empty ones at the end are left out); and whether
        all is as the standard says.
    """
    parts = text.strip(" \0").split("\\")
    standard = all(re.fullmatch(_STANDARD, part.strip(" \0")) for part in parts)
    values = [_number(one) for part in parts for one in _LISTED.split(part.strip(_AROUND))]
    while values and values[-1] is None and not parts[-1].strip(_AROUND):
        values.pop()
        parts = parts[:-1] or [" "]
    return values, standard and None not in values


def _number(text: str) -> float | None:
    text = text.strip(_AROUND)
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    elif comma := _COMMA.match(text):
        text = f"{comma[1]}.{text[comma.start(2) :]}"
    found = _WITH_UNIT.fullmatch(text)
    value = float(found[1]) if found else None
    return value if value is not None and isfinite(value) else None


class Elements:
    """A data set, or an item of one of its sequences, and what was noted while it was read."""

    def __init__(
        self, ds: Dataset, little_endian: bool = True, notes: list[ImageWarning] | None = None
    ) -> None:
        self.ds = ds
        self.little_endian = little_endian
        self.notes: list[ImageWarning] = [] if notes is None else notes
        """In the order in which they were made, each once."""

    def note(self, message: str, code: WarningCode = "header_value") -> None:
        """Remember how the file was repaired, or what of it was passed over."""
        warning = ImageWarning(code, message)
        if warning not in self.notes:
            self.notes.append(warning)

    def __contains__(self, keyword: str) -> bool:
        return bool(self._value(keyword)[1])

    def numbers(self, keyword: str) -> list[float | None]:
        """The values of an element; None for one that is no finite number."""
        vr, value = self._value(keyword)
        if not isinstance(value, bytes):
            return []
        if vr in _BINARY:
            found = np.frombuffer(_whole(value, _BINARY[vr]), self._order + _BINARY[vr])
            return [float(one) if np.isfinite(one) else None for one in found]
        values, standard = tolerant_numbers(value.decode("ascii", "replace"))
        if not standard and any(one is not None for one in values):
            usable = ", ".join(f"{one:g}" for one in values if one is not None)
            self.note(f"{keyword} is not written as DICOM prescribes and was read as {usable}.")
        if value.strip(b" \0") and all(one is None for one in values):
            self.note(f"{keyword} holds no number and was passed over.")
        return values

    def number(self, keyword: str, default: float) -> float:
        """The first usable value, else the default."""
        return next((value for value in self.numbers(keyword) if value is not None), default)

    def integer(self, keyword: str) -> int | None:
        """The first usable value if it is a whole number, else None."""
        values = [value for value in self.numbers(keyword) if value is not None]
        return int(values[0]) if values and values[0] == int(values[0]) else None

    def text(self, keyword: str) -> str:
        """All of a text, upper case; never to be quoted."""
        value = self._value(keyword)[1]
        return value.decode("latin-1").strip(" \0").upper() if isinstance(value, bytes) else ""

    def code(self, keyword: str) -> str:
        """The first value of a code string, upper case; "?" for what is none."""
        text = self.text(keyword).split("\\")[0].strip()
        return text if re.fullmatch(r"[A-Z0-9_ ]{0,16}", text) else "?"

    def uid(self, keyword: str) -> str:
        """A UID; "" where it is absent or none."""
        text = self.text(keyword).strip(" \0")
        return text if re.fullmatch(r"[0-9.]{1,64}", text) else ""

    def words(self, keyword: str) -> np.ndarray:
        """uint16 (values,): an element that writers encode as US, SS or OW alike."""
        value = self._value(keyword)[1]
        if not isinstance(value, bytes):
            return np.zeros(0, np.uint16)
        return np.frombuffer(_whole(value, "u2"), self._order + "u2").astype(np.uint16)

    def items(self, keyword: str) -> list["Elements"]:
        """The items of a sequence; their notes join these."""
        try:
            found = self.ds.get(keyword)
        except DAMAGE:
            self.note(f"{keyword} is damaged and was passed over.")
            return []
        # An element of another kind under a sequence's tag has no items.
        items: Sequence[Any] = found if isinstance(found, Sequence) else []
        return [
            Elements(item, self.little_endian, self.notes)
            for item in items
            if isinstance(item, Dataset)
        ]

    def raw(self, keyword: str) -> bytes:
        """The value as it stands in the file; empty where there is none."""
        return self._value(keyword)[1] or b""

    def vr(self, keyword: str) -> str:
        """Its value representation, as the file says or as the standard has it."""
        return self._value(keyword)[0]

    @property
    def _order(self) -> str:
        return "<" if self.little_endian else ">"

    def _value(self, keyword: str) -> tuple[str, bytes | None]:
        """Value representation and the bytes as the file has them."""
        tag = Tag(keyword)
        if tag not in self.ds:
            return "", None
        element = self.ds.get_item(tag)
        standard = dictionary_VR(tag)
        vr = element.VR or standard
        if vr in ("UN", "OB", "OW") and vr not in standard:
            vr = standard
        value = element.value
        if isinstance(element, RawDataElement) or isinstance(value, bytes):
            return vr, value if isinstance(value, bytes) else None
        # pydicom has converted what it met first, such as the character set.
        values = value if isinstance(value, MultiValue) else [value]
        if vr in _BINARY:
            return vr, np.array(list(values), self._order + _BINARY[vr]).tobytes()
        return vr, "\\".join(map(str, values)).encode("latin-1", "replace")


def _whole(value: bytes, kind: str) -> bytes:
    """Without the odd bytes at the end that make no whole number."""
    size = int(kind[-1])
    return value[: len(value) // size * size]
