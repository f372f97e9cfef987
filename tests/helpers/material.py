"""What the tests' tiny model says, and what their files hold of a patient."""

from pathlib import Path

import cv2
import numpy as np
from paths import ROOT

SAMPLE = ROOT / "app" / "static" / "samples" / "normal.png"
REPORT = (
    "Findings: The heart is normal in size. The lungs are clear. There is no pleural effusion. "
    "Impression: No acute cardiopulmonary abnormality."
)
"""What the tiny model has learnt to say of every image."""
NOTICE = "Research software, not for diagnosis. A tiny model for tests."
PROMPT_TOKENS = 20
"""Longest indication of the tiny model that reads them."""
PATIENT = {
    "PatientName": "Zanzibar^Quillfeather",
    "PatientID": "MRN-77310429",
    "PatientBirthDate": "19431107",
    "StudyDate": "20240229",
    "AccessionNumber": "ACC5550123",
    "InstitutionName": "Saint Mungo",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.4242",
}
"""What must come out nowhere."""


def chest(seed: int = 0, height: int = 80, width: int = 64) -> np.ndarray:
    """uint8 (height, width): a chest that the input check lets pass, each seed another."""
    sample = cv2.imread(str(SAMPLE), cv2.IMREAD_GRAYSCALE)
    pixels = cv2.resize(sample, (width, height), interpolation=cv2.INTER_AREA).astype(float)
    noise = np.random.default_rng(seed).normal(0, 4, pixels.shape)
    return np.rint(pixels + noise).clip(0, 255).astype(np.uint8)


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files, by their path below the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
