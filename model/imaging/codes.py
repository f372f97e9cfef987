"""Codes of DICOM that a message may quote. Whatever else a header holds may be a patient's name."""

from collections.abc import Collection

__all__ = ["MODALITIES", "PHOTOMETRIC_INTERPRETATIONS", "quoted"]

# fmt: off
MODALITIES = frozenset((
    "ANN", "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CD", "CF", "CFM", "CP", "CR", "CS", "CT",
    "CTPROTOCOL", "DD", "DF", "DG", "DM", "DMS", "DOC", "DR", "DS", "DX", "EC", "ECG", "EEG",
    "EM", "EMG", "EOG", "EPS", "ES", "FA", "FID", "FS", "GM", "HC", "HD", "IO", "IOL", "IVOCT",
    "IVUS", "KER", "KO", "LEN", "LP", "LS", "M3D", "MA", "MG", "MR", "MS", "NM", "OAM", "OCT",
    "OP", "OPM", "OPR", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA", "PLAN", "POS",
    "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN",
    "RTRAD", "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "ST",
    "STAIN", "TEXTUREMAP", "TG", "US", "VA", "VF", "VIDD", "XA", "XAPROTOCOL", "XC", "XR",
))
# fmt: on
"""Of PS3.3 C.7.3.1.1.1 with the retired ones, and DR and XR, which some devices write for DX."""
PHOTOMETRIC_INTERPRETATIONS = frozenset(
    (
        "MONOCHROME1",
        "MONOCHROME2",
        "PALETTE COLOR",
        "RGB",
        "HSV",
        "ARGB",
        "CMYK",
        "YBR_FULL",
        "YBR_FULL_422",
        "YBR_PARTIAL_422",
        "YBR_PARTIAL_420",
        "YBR_ICT",
        "YBR_RCT",
        "XYB",
    )
)
"""Of PS3.3 C.7.6.3.1.2, with the retired ones."""


def quoted(code: str, known: Collection[str]) -> str:
    """A code in quotes where it is known or empty, else that it is unknown."""
    return repr(code) if not code or code in known else "of an unknown code"
