"""Random findings of every kind, for what writes or reads reports about them."""

import numpy as np

from data_prep.manifest import FINDINGS, Finding

SIDED = {
    "opacity",
    "pleural_effusion",
    "pneumothorax",
    "atelectasis",
    "nodule",
    "rib_fracture",
    "central_line",
    "pacemaker",
}
ZONED = {"opacity", "atelectasis", "nodule", "rib_fracture"}
UNGRADED = {"rib_fracture", "hiatal_hernia", "endotracheal_tube", "central_line", "pacemaker"}


def random_findings(rng: np.random.Generator) -> list[Finding]:
    """Any findings at any places, none in two of five."""
    findings = []
    for name in rng.permutation(FINDINGS)[: rng.choice(6, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04])]:
        sides = [None] if name not in SIDED else list(rng.permutation(["right", "left"]))
        both = name in SIDED and rng.random() < 0.3
        for side in sides[: 1 + both]:
            zone = str(rng.choice(["upper", "mid", "lower"])) if name in ZONED else None
            grade = None if name in UNGRADED else str(rng.choice(["mild", "moderate", "severe"]))
            findings.append(Finding(str(name), grade, side and str(side), zone, (0, 0, 1, 1)))
    return findings
