"""The words and codes for a radiograph's view, in one table for every reader.

Words are those of DICOM's View Position (0018,5101, PS3.3 C.8.11.5), of what devices write there
instead, and of MIMIC-CXR's metadata; codes those of its context group 4010, "DX View" (PS3.16), in
SNOMED CT and in the older SNOMED-RT. An oblique view is none of PA, AP and LATERAL; neither is a
decubitus view, a frontal one of a patient who lies on a side.
"""

import re

__all__ = ["LATERAL", "view_of_code", "view_of_words"]

LATERAL = "LATERAL"

_WORDS = {
    "PA": "PA",
    "POSTEROANTERIOR": "PA",
    "POSTERIOANTERIOR": "PA",
    "AP": "AP",
    "ANTEROPOSTERIOR": "AP",
    "ANTERIOPOSTERIOR": "AP",
    "LATERAL": LATERAL,
    "LAT": LATERAL,
    "LATERALE": LATERAL,
    "LL": LATERAL,
    "RL": LATERAL,
    "LLAT": LATERAL,
    "RLAT": LATERAL,
    "LATL": LATERAL,
    "LATR": LATERAL,
    "LTLAT": LATERAL,
    "RTLAT": LATERAL,
    "MEDIOLATERAL": LATERAL,
    "LATEROMEDIAL": LATERAL,
    "SEITLICH": LATERAL,
    "PROFIL": LATERAL,
}
_FILLERS = {
    *("L", "R", "LT", "RT", "LEFT", "RIGHT"),
    *("XTABLE", "X", "TABLE", "CROSS", "CROSSTABLE", "HORIZONTAL", "BEAM"),
    *("CHEST", "THORAX", "TORAX", "LUNG", "LUNGS", "XR", "XRAY", "RAY", "CR", "DX", "DR"),
    *("VIEW", "VIEWS", "PROJECTION", "RADIOGRAPH", "ROUTINE", "GRID", "THE", "OF", "IN"),
    *("ERECT", "UPRIGHT", "STANDING", "SITTING", "SEATED", "SEMI", "SUPINE"),
    *("PORTABLE", "MOBILE", "BEDSIDE", "AXIAL", "LORDOTIC", "INSPIRATION", "EXPIRATION"),
    *("1", "2", "1V", "2V", "ONE", "TWO"),
}
"""Words beside a view's own that do not change it."""
_SPLIT = (("POSTERO", "ANTERIOR"), ("ANTERO", "POSTERIOR"), ("P", "A"), ("A", "P"))

_CODES = {
    "272479007": "PA",
    "R-10214": "PA",
    "R-40888": "PA",
    "399348003": "AP",
    "R-10206": "AP",
    "399067008": LATERAL,
    "R-102CD": LATERAL,
    "399173006": LATERAL,  # left lateral
    "R-10236": LATERAL,
    "399198007": LATERAL,  # right lateral
    "R-10232": LATERAL,
    "399260004": LATERAL,  # medial-lateral
    "R-10224": LATERAL,
    "399352003": LATERAL,  # lateral-medial
    "R-10228": LATERAL,
}


def view_of_words(text: str) -> str | None:
    """The view that some words name: "PA", "AP" or "LATERAL".

    None where they name none, several ("PA and lateral"), an oblique or a decubitus view, or hold a
    word that is not known to leave the view as it is.
    """
    words = re.sub(r"[^A-Z0-9]+", " ", text.upper()).split()
    for pair in _SPLIT:
        for place in range(len(words) - 1):
            if tuple(words[place : place + 2]) == pair:
                words[place : place + 2] = ["".join(pair)]
    views = {_WORDS[word] for word in words if word in _WORDS}
    rest = {word for word in words if word not in _WORDS}
    return views.pop() if len(views) == 1 and rest <= _FILLERS else None


def view_of_code(value: str) -> str | None:
    """The view of a code of context group 4010; None for any other."""
    return _CODES.get(value.strip().upper())
