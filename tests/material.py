"""What the tests' tiny model says, and what their files hold of a patient."""

from pathlib import Path

REPORT = (
    "Findings: The heart is normal in size. The lungs are clear. There is no pleural effusion. "
    "Impression: No acute cardiopulmonary abnormality."
)
"""What the tiny model has learnt to say of every picture."""
NOTICE = "Research software, not for diagnosis. A tiny model for tests."
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


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files, by their path below the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
