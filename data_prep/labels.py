"""Labels of whole images: which finding each one is a kind of, and which radiographs are normal."""

from collections.abc import Mapping

from data_prep.manifest import FINDINGS

__all__ = ["LABEL_FINDINGS", "NO_FINDING", "finding_of", "is_normal"]

NO_FINDING = "No Finding"

LABEL_FINDINGS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "opacity",
    "Edema": "edema",
    "Effusion": "pleural_effusion",
    "Emphysema": "hyperinflation",
    "Hernia": "hiatal_hernia",
    "Infiltration": "opacity",
    "Lung Lesion": "nodule",
    "Lung Opacity": "opacity",
    "Mass": "nodule",
    "Nodule": "nodule",
    "Pleural Effusion": "pleural_effusion",
    "Pneumonia": "opacity",
    "Pneumothorax": "pneumothorax",
}
"""Labels of ChestX-ray14 and CheXpert, and the finding that each is a kind of. Other labels, such
as "Fracture" (of any bone) or "Support Devices", are none of ours."""


def finding_of(label: str) -> str | None:
    """The one of FINDINGS that a label names or is a kind of; None of any other label."""
    return label if label in FINDINGS else LABEL_FINDINGS.get(label)


def is_normal(labels: Mapping[str, int] | None) -> bool:
    """Whether labels (Study.labels) say that a radiograph is normal: none is present or uncertain,
    and one says that there is no opacity. Where devices alone were looked for, the lungs may show
    anything. The label "No Finding" of CheXpert and MIMIC-CXR says both."""
    if not labels or any(value for label, value in labels.items() if label != NO_FINDING):
        return False
    if NO_FINDING in labels:
        return labels[NO_FINDING] == 1
    return any(finding_of(label) == "opacity" for label in labels)
