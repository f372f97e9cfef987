"""Why a simulated study was asked for: words that suggest what it shows and do not decide it."""

import numpy as np

__all__ = ["INDICATIONS", "draw_indication"]

INDICATIONS: dict[str, tuple[str, ...]] = {
    "Cough and fever.": ("opacity",),
    "Fever, evaluate for pneumonia.": ("opacity",),
    "Productive cough for one week.": ("opacity", "atelectasis"),
    "Leukocytosis.": ("opacity",),
    "Dyspnea.": ("edema", "pleural_effusion", "cardiomegaly", "hyperinflation"),
    "Worsening shortness of breath.": ("pleural_effusion", "edema", "pneumothorax"),
    "Orthopnea and leg swelling.": ("edema", "cardiomegaly", "pleural_effusion"),
    "History of heart failure.": ("cardiomegaly", "edema", "pacemaker"),
    "Evaluate for volume overload.": ("edema", "pleural_effusion"),
    "Decreased breath sounds at the bases.": ("pleural_effusion", "atelectasis"),
    "Follow-up of pleural effusion.": ("pleural_effusion",),
    "Sudden chest pain and dyspnea.": ("pneumothorax",),
    "Evaluate for pneumothorax.": ("pneumothorax", "central_line"),
    "Fall, chest wall pain.": ("rib_fracture", "pneumothorax"),
    "Motor vehicle collision.": ("rib_fracture", "pneumothorax"),
    "Rib pain after trauma.": ("rib_fracture",),
    "Status post intubation.": ("endotracheal_tube",),
    "Respiratory failure.": ("endotracheal_tube", "edema", "opacity"),
    "Line placement.": ("central_line",),
    "Evaluate position of lines and tubes.": ("central_line", "endotracheal_tube"),
    "Status post pacemaker placement.": ("pacemaker",),
    "Syncope.": ("pacemaker", "cardiomegaly"),
    "Follow-up of a pulmonary nodule.": ("nodule",),
    "Weight loss and hemoptysis.": ("nodule", "opacity"),
    "Smoker with chronic cough.": ("hyperinflation", "nodule"),
    "Known chronic obstructive pulmonary disease.": ("hyperinflation",),
    "Reflux and dysphagia.": ("hiatal_hernia",),
    "Postoperative fever.": ("atelectasis", "opacity", "pleural_effusion"),
    "Preoperative evaluation.": (),
    "Routine examination.": (),
    "Positive tuberculosis skin test.": (),
    "Chest pain.": (),
}
"""What is written, and the findings with which it is written more often."""
NORMAL = 3.0
"""How much likelier those without a finding of their own are where nothing is found."""
FITTING = 7.0
"""How much likelier those are that suggest a finding which is there."""


def draw_indication(names: set[str], rng: np.random.Generator) -> str:
    """One of INDICATIONS; each may come with any findings.

    Args:
        names: of the findings that the patient has.
    """
    weights = np.array([_weight(set(suggests), names) for suggests in INDICATIONS.values()])
    return str(rng.choice(list(INDICATIONS), p=weights / weights.sum()))


def _weight(suggests: set[str], names: set[str]) -> float:
    if suggests & names:
        return FITTING
    return NORMAL if not suggests and not names else 1.0
