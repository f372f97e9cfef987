# ruff: noqa: E501 (a pattern is read in one line)
"""How radiologists name the 14 observations of CheXpert (Irvin et al. 2019, AAAI).

Patterns are matched without regard to case, in the order they stand in: an earlier one keeps the
letters it has matched, so that a "nodular opacity" is a lesion and no opacity.
"""

import re

__all__ = ["NORMAL", "VOCABULARY"]


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


_HEART = r"(?:heart|cardiac|cardiopericardial)(?:\s+(?:size|silhouette|contours?|shadow))?"
_MEDIASTINUM = r"(?:cardio)?mediastin(?:um|al)(?:\s+(?:size|silhouettes?|contours?|shadow|width))?"
_TO_4 = r"(?:(?!and\b|with\b|but\b|is not\b|no\b)[\w-]+\s+){0,4}?"
_LARGE = r"(?:enlarged|widened|prominent|large|big|increased in size)"
_BONES = r"(?:ribs?|clavic\w+|humer\w+|vertebra\w*|spin\w+|sternum|sternal|scapula\w*|compression)"
_DEVICE = (
    r"(?:pacemakers?|pacers?|pacing|AICD|ICD|defibrillators?|PICC|central line|(?:central |venous |"
    r"dialysis |indwelling )+catheters?|catheters?|port-?\s?a-?\s?cath\w*|portacath\w*|mediport|"
    r"(?:chest |subclavian |jugular |infusion )ports?|(?:chest|tracheostomy|endotracheal|"
    r"nasogastric|orogastric|enteric|feeding|thoracostomy|drainage|NG|OG|ET|E\.T\.|Dobbhoff) tubes?|"
    r"Dobbhoff|ETT|NGT|tracheostomy|stents?|(?:valve|valvular) (?:replacement|prosthes\w+)|"
    r"(?:prosthetic|artificial|mechanical) (?:\w+ )?valves?|(?:jugular|subclavian|IJ|PICC|venous|"
    r"central|arterial|support|monitoring|IV) (?:\w+ )?lines?|lines? and tubes?|tubes? and lines?|"
    r"pigtail|drains?|orthopa?edic hardware|(?:spinal|fixation|fusion|surgical) hardware|hardware|"
    r"(?:pedicle )?screws?|(?:fixation|metallic) plates?|arthroplast\w+|support devices?|"
    r"(?:monitor\w*|EKG|ECG|telemetry) (?:leads?|wires?|devices?)|closure device|occluder\w*|"
    r"balloon pump|IABP|Swan[\s-]?Ganz|stimulators?|VP shunts?|shunt catheters?|generators?)"
)

VOCABULARY: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Support Devices", _any(rf"\b{_DEVICE}\b")),
    (
        "Fracture",
        _any(
            r"\bfractur\w*\b",
            rf"\b{_BONES} (?:\w+ )?(?:wedg\w+|compression) deformit\w+\b",
            r"\bcompression deformit\w+\b",
        ),
    ),
    ("Pneumothorax", _any(r"\b(?:hydro|haemo|hemo)?pneumothora(?:x|ces|xes)\b", r"\bPTX\b")),
    (
        "Pleural Other",
        _any(
            r"\bpleural(?:[\s-]\w+){0,2}? (?:thickening|scar\w*|plaques?|calcifications?|fibrosis)\b",
            r"\bpleuro-?parenchymal (?:thickening|scar\w*|fibrosis)\b",
            r"\b(?:thickening|scarring) of the (?:\w+ ){0,2}pleura\b",
            r"\b(?:apical|biapical) (?:pleural )?(?:thickening|caps?)\b",
            r"\bfibrothorax\b",
        ),
    ),
    (
        "Pleural Effusion",
        _any(
            r"(?<!pericardial )(?<!joint )\b(?:pleural )?effusions?\b",
            r"\bpleural fluid\b|\bfluid in the (?:\w+ )?(?:pleural space|fissures?)\b",
            r"\bh(?:a)?emothorax\b",
            r"\bblunt\w*(?: of)?(?: the)? (?:\w+ ){0,3}(?:costophrenic (?:angles?|recess\w*|"
            r"sulc(?:us|i))|CP angles?)\b",
            r"\b(?:costophrenic (?:angles?|recess\w*|sulc(?:us|i))|CP angles?) (?:is|are|appears?)"
            r" (?:\w+ ){0,2}blunted\b",
        ),
    ),
    (
        "Enlarged Cardiomediastinum",
        _any(
            rf"\b{_MEDIASTINUM}\s+{_TO_4}{_LARGE}\b",
            rf"\b{_LARGE}\s+(?:\w+ )?{_MEDIASTINUM}\b",
            r"\b(?:widening|enlargement|prominence) of the (?:\w+ ){0,2}(?:cardio)?mediastin\w+\b",
            r"\bmediastinal (?:widening|enlargement|prominence)\b",
        ),
    ),
    (
        "Cardiomegaly",
        _any(
            r"\bcardiomegaly\b|\bcardiac enlargement\b|\bmegalocardia\b",
            rf"\b{_HEART}\s+{_TO_4}(?:enlarged|enlargement|large|big|prominent|increased)\b",
            rf"\b(?:enlarged?|prominent|large)\s+(?:\w+ )?{_HEART}\b",
            rf"\b(?:enlargement|prominence) of the (?:\w+ ){{0,2}}{_HEART}\b",
            r"\b(?:heart|cardiac silhouette|cardiac size|heart size) (?:is |appears |size is )?(?:"
            r"[\w-]+ ){0,3}(?:upper limits? of normal|borderline)\b",
            rf"\b(?:borderline|mild(?:ly)?|stable|top normal) (?:enlarged )?{_HEART}\b(?! (?:is|are))",
        ),
    ),
    (
        "Edema",
        _any(
            r"(?<!soft tissue )(?<!subcutaneous )\b(?:(?:pulmonary|interstitial|alveolar) )*"
            r"o?edema(?:tous)?\b",
            r"\b(?:pulmonary |central |mild |venous )*(?:vascular|venous|vasculature|pulmonary) "
            r"congestion\b|\bcongestive (?:changes?|failure|heart failure)\b|\bvascularly congested\b",
            r"\b(?:heart|cardiac|ventricular) failure\b|\bCHF\b|\bfluid overload\b",
            r"\bcephali[sz]ation\b|\bvascular redistribution\b|\bKerley\b",
            r"\b(?:pulmonary )?(?:vascular|vasculature|vascularity|vessels)\s+(?:is |are |appears? )?"
            r"(?:\w+ )?(?:congested|engorge\w+|indistinct\w*|prominent|prominence)\b",
            r"\b(?:engorge\w+|indistinct\w*|prominen\w+) (?:of the )?(?:central )?(?:pulmonary )?"
            r"(?:vascula\w+|vessels)\b",
        ),
    ),
    (
        "Atelectasis",
        _any(
            r"\batelect[ae]\w+\b",
            r"\b(?:lobar|lobe|lung|segmental) collapse\b|\bcollapse of the (?:\w+ ){0,3}(?:lobe|lung)\b",
        ),
    ),
    ("Consolidation", _any(r"\bconsolidat\w+\b")),
    (
        "Pneumonia",
        _any(
            r"\b(?:broncho)?pneumoni(?:a|as|c|tis)\b(?! vaccine)",
            r"(?<!granulomatous )\binfectio(?:n|ns|us)(?: process\w*| etiology| infiltrates?)?\b",
        ),
    ),
    (
        "Lung Lesion",
        _any(
            r"\bnodul(?:es?|ar(?: (?:opacit(?:y|ies)|densit(?:y|ies)|shadows?|lesions?|foc\w+))?)\b",
            r"(?<!no )\bmass(?:es)?\b(?! effect)|\bmass-?like\b",
            r"\b(?:pulmonary|lung|cavitary|coin|parenchymal|focal) lesions?\b",
            r"\b(?:carcinoma|neoplas\w+|tumou?rs?|malignanc\w+|metasta\w+)\b",
        ),
    ),
    (
        "Lung Opacity",
        _any(
            r"\b(?:airspace |air space )?opaci(?:ty|ties|fications?|fied)\b",
            r"\binfiltrat\w+\b",
            r"\bair\s?-?space (?:disease|process\w*|filling)\b",
            r"\b(?:increased|abnormal|patchy|hazy|focal|ill-defined|streaky|basilar|lobe|lung) "
            r"densit(?:y|ies)\b",
            r"\b(?:prominent |increased |coarse\w* |diffuse |chronic )*(?:interstitial|reticular|"
            r"reticulonodular)\s+(?:lung )?(?:markings?|patterns?|prominence|thickening|disease|"
            r"changes?|densit\w+|abnormalit\w+|scarring)\b",
            r"\bprominen\w+ of the (?:\w+ )?interstiti\w+\b|\breticulation\w*\b",
            r"\bperibronchial (?:cuffing|thickening)\b|\bbronchial wall thickening\b",
        ),
    ),
)

NORMAL: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "Cardiomegaly",
        _any(
            rf"\b{_HEART}[\w\s,]{{0,60}}?\b(?:normal|unremarkable)\b(?! limits?,? upper)",
            rf"\bnormal (?:\w+ )?{_HEART}\b",
            r"\bcardiomediastinal (?:silhouette|contours?)[\w\s,]{0,40}?\b(?:normal|unremarkable)\b",
        ),
    ),
    (
        "Enlarged Cardiomediastinum",
        _any(
            rf"\b{_MEDIASTINUM}[\w\s,]{{0,60}}?\b(?:normal|unremarkable)\b",
            rf"\bnormal (?:\w+ )?{_MEDIASTINUM}\b",
        ),
    ),
)
"""What says of these that they are not there without a "no"."""
