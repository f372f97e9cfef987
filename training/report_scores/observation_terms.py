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
_TO_4 = r":?\s+(?:(?!and\b|with\b|but\b|no\b)[\w'-]+\s+){0,4}?"
_LARGE = r"(?:enlarged|widened|wide|broad(?:ened)?|prominent|large|big|increased in size)"
# "Top normal" is normal: of 26 such reports of Open-i, no indexer called one an enlarged heart.
_NOT_NORMAL = r"(?<!limits of )(?<!limit of )(?<!not )"
_BONES = r"(?:ribs?|clavic\w+|humer\w+|vertebra\w*|spin\w+|sternum|sternal|scapula\w*|compression)"
_DEVICE = (
    r"(?:pacemakers?|pacers?|pacing|AICD|ICD|defibrillators?|PICC|central line|(?:central |venous |"
    r"dialysis |indwelling )+catheters?|catheters?|port-?\s?a-?\s?cath\w*|portacath\w*|mediport|"
    r"(?:chest |subclavian |jugular |infusion )ports?|(?:chest|tracheostomy|endotracheal|"
    r"nasogastric|orogastric|enteric|feeding|thoracostomy|drainage|NG|OG|ET|E\.T\.|Dobb?hoff) tubes?|"
    r"Dobb?hoff|ETT|NGT|tracheostomy|stents?|(?:valve|valvular) (?:replacement|prosthes\w+)|"
    r"(?:prosthetic|artificial|mechanical) (?:\w+ )?valves?|(?:jugular|subclavian|IJ|PICC|venous|"
    r"central|arterial|support|monitoring|IV) (?:\w+ )?lines?|lines? and tubes?|tubes? and lines?|"
    r"pigtail|drains?|orthopa?edic hardware|(?:spinal|fixation|fusion|surgical) hardware|hardware|"
    r"(?:pedicle )?screws?|(?:fixation|metallic) plates?|arthroplast\w+|support devices?|"
    r"(?:monitor\w*|EKG|ECG|telemetry) (?:leads?|wires?|devices?)|closure device|occluder\w*|"
    r"(?:sternotomy|sternal|cerclage|epicardial) wires?|sternotomy with (?:\w+ ){0,2}wires?|"
    r"loop recorders?|(?:ventricular assist|assist) devices?|LVAD|Impella|ECMO|OGT|TLC|CVL|CVC|"
    r"balloon pump|IABP|Swan[\s-]?Ganz|stimulators?|VP shunts?|shunt catheters?|generators?)"
)
_ANGLE = r"(?:costo-?phrenic (?:angles?|recess\w*|sulc(?:us|i))|CP angles?)"
_BLUNTED = (
    rf"(?:blunt\w*(?: of)?(?: the)? (?:\w+ ){{0,3}}{_ANGLE}|{_ANGLE} (?:blunting|(?:is|are|appears?|"
    r"remains?) (?:\w+ ){0,2}blunted))\b"
)

VOCABULARY: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Support Devices", _any(rf"\b{_DEVICE}\b")),
    (
        "Fracture",
        _any(
            r"\bfractur\w*\b|\bfx(?:s|es)?\b|\bbroken (?:\w+ ){0,2}(?:ribs?|clavicles?)\b",
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
            r"\b(?:apical|biapical) (?:pleural )?(?:thickening|caps?|capping)\b",
            r"\bfibrothorax\b",
        ),
    ),
    (
        "Pleural Effusion",
        _any(
            # Of "blunting may reflect an effusion" the doubt is the finding's own.
            rf"\b{_BLUNTED}(?:,? (?:(?:which )?(?:may|might|could)|likely|possibly|probably|suggest\w*|"
            r"versus)[\w\s]{0,40}?effusions?\b)?",
            r"(?<!pericardial )(?<!joint )\b(?:pleural )?effusions?\b",
            r"\bpleural fluid\b|\bfluid (?:\w+ ){0,4}?(?:in|within|along) (?:the )?(?:\w+ ){0,2}?"
            r"(?:pleural spaces?|fissures?)\b",
            r"\bh(?:a)?emothorax\b",
        ),
    ),
    (
        "Enlarged Cardiomediastinum",
        _any(
            rf"\b{_MEDIASTINUM}{_TO_4}{_LARGE}\b",
            rf"\b{_LARGE}\s+(?:\w+ )?{_MEDIASTINUM}\b",
            r"\b(?:widening|enlargement|prominence) of the (?:\w+ ){0,2}(?:cardio)?mediastin\w+\b",
            r"\bmediastinal (?:widening|enlargement|prominence)\b",
        ),
    ),
    (
        "Cardiomegaly",
        _any(
            r"\bcardiomegaly\b|\bcardiac enlargement\b|\bmegalocardia\b",
            rf"\b{_HEART}{_TO_4}(?:enlarged|enlargement|large|big|prominent|increased)\b",
            rf"\b(?:enlarged?|prominent|large)\s+(?:\w+ )?{_HEART}\b",
            rf"\b(?:enlargement|prominence) of the (?:\w+ ){{0,2}}{_HEART}\b",
            rf"\b{_HEART}{_TO_4}(?:upper limits? of normal|borderline)\b",
            rf"\bborderline (?:enlarged )?{_HEART}\b(?! (?:is|are))",
        ),
    ),
    (
        "Edema",
        _any(
            r"(?<!soft tissue )(?<!subcutaneous )\b(?:(?:pulmonary|interstitial|alveolar) )*"
            r"o?edema(?:tous)?\b",
            r"\b(?:pulmonary |central |mild |venous )*(?:vascular|venous|vasculature|pulmonary) "
            r"congestion\b|\bcongestive (?:changes?|failure|heart failure)\b|\bvascularly congested\b",
            r"\b(?:heart|cardiac|ventricular) failure\b|\bCHF\b|\b(?:fluid|volume) overload\b",
            r"(?<!renal )(?<!respiratory )(?<!hepatic )(?<!liver )(?<!kidney )(?<!hardware )\bfailure\b"
            r"(?! (?:to|of)\b)",
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
            r"(?<!vertebral )(?<!body )(?<!endplate )\bcollapsed?\b",
        ),
    ),
    ("Consolidation", _any(r"\bconsolidat\w+\b")),
    (
        "Pneumonia",
        _any(
            r"\b(?:broncho)?pneumoni(?:a|as|c|tis)\b(?! vaccine)|\bPNA\b",
            r"(?<!granulomatous )\binfectio(?:n|ns|us)(?: process\w*| etiology| infiltrates?)?\b",
        ),
    ),
    (
        "Lung Lesion",
        _any(
            r"\bnodularity\b|\bnodul(?:es?|ar(?: (?:opacit(?:y|ies)|densit(?:y|ies)|shadows?|lesions?|foc\w+))?)\b",
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
            r"\b(?:increased|abnormal|patchy|hazy|fluffy|vague|focal|ill-defined|streaky|perihilar|"
            r"retrocardiac|basilar|bibasilar|lobe|lung|parenchymal) "
            r"(?:(?!bone|bony|osseous|mineral|nodular)[\w-]+ )?densit(?:y|ies)\b",
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
            rf"\b{_HEART}[\w\s,:]{{0,60}}?{_NOT_NORMAL}\b(?:normal|unremarkable)\b(?! limits?,? upper)",
            rf"{_NOT_NORMAL}\bnormal (?:\w+ )?{_HEART}\b",
            r"\bcardiomediastinal (?:silhouette|contours?)[\w\s,:]{0,40}?\b(?:normal|unremarkable)\b",
        ),
    ),
    (
        "Enlarged Cardiomediastinum",
        _any(
            rf"\b{_MEDIASTINUM}[\w\s,:]{{0,60}}?{_NOT_NORMAL}\b(?:normal|unremarkable)\b",
            rf"\bnormal (?:\w+ )?{_MEDIASTINUM}\b",
        ),
    ),
    (
        "Pleural Effusion",
        _any(r"\bpleural spaces? (?:is|are|remains?|appears?)\s+(?:\w+ )?clear\b"),
    ),
    ("Support Devices", _any(r"\b(?:extubat\w+|decannulat\w+)\b")),
)
"""What reports these as absent without a "no"."""
