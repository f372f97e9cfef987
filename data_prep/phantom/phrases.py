"""The words of the phantom's reports: templates in the manner of radiologists, common ones first.

In a template [square brackets] hold the words that speak of a finding, @ is an indefinite article
(it vanishes in the plural), and the {fields} are:

    {sev}      severity word, "small", "moderate"; may be empty
    {adverb}   the same as an adverb, "mildly"
    {side}     "right", "left", "bilateral"; may be empty
    {zone}     "upper", "mid", "lower"; may be empty
    {adj}      place before the noun, "right lower lung zone"
    {at}       place after the noun, "in the right lower lung zone", "at both lung bases"
    {of_rib}   "a right lower rib", "left upper ribs"
    {is_}      "is" or "are"
    {opacity} and the other keys of NOUNS: that noun in its right number
    {np}       one of NOUN_PHRASES
    {tail}     one of TAILS, or nothing
"""

__all__ = [
    "ABSENT",
    "ADVERBS",
    "CHANGES",
    "COMPARED",
    "DEGENERATIVE",
    "HEART_NORMAL",
    "HEART_ONLY_NORMAL",
    "LOW_VOLUMES",
    "LUNGS_CLEAR",
    "NORMAL_ABDOMEN",
    "NORMAL_BONES",
    "NORMAL_DIAPHRAGM",
    "NORMAL_IMPRESSIONS",
    "NORMAL_MEDIASTINUM",
    "NORMAL_VESSELS",
    "NOUNS",
    "NOUN_PHRASES",
    "NO_CHANGE",
    "OTHERWISE_NORMAL",
    "PLACE_AFTER",
    "PLACE_BEFORE",
    "REMOVED",
    "RESOLVED",
    "SENTENCES",
    "SEVERITY",
    "SPECIAL_SENTENCES",
    "TAILS",
    "TRACE_EFFUSION",
    "UNEQUAL_EFFUSIONS",
]

SMALL_TO_LARGE = {
    "mild": ("small", "small", "trace"),
    "moderate": ("moderate", "moderate-sized"),
    "severe": ("large",),
}
MILD_TO_SEVERE = {"mild": ("mild",), "moderate": ("moderate",), "severe": ("severe", "marked")}

SEVERITY: dict[str, dict[str, tuple[str, ...]]] = {
    "opacity": {
        "mild": ("subtle", "faint", "mild"),
        "moderate": ("patchy", "moderate"),
        "severe": ("dense", "extensive"),
    },
    "pleural_effusion": SMALL_TO_LARGE,
    "pneumothorax": {**SMALL_TO_LARGE, "mild": ("small", "small", "tiny")},
    "cardiomegaly": MILD_TO_SEVERE,
    "edema": MILD_TO_SEVERE,
    "atelectasis": {
        "mild": ("mild", "minor", "linear"),
        "moderate": ("moderate", "segmental"),
        "severe": ("marked", "lobar"),
    },
    "nodule": {"mild": ("small", "tiny"), "moderate": ("rounded",), "severe": ("large",)},
    "hyperinflation": MILD_TO_SEVERE,
}
ADVERBS = {"mild": "mildly", "moderate": "moderately", "severe": "severely"}

NOUNS: dict[str, tuple[str, str]] = {
    "effusion": ("effusion", "effusions"),
    "fracture": ("fracture", "fractures"),
    "mass": ("mass", "masses"),
    "nodule": ("nodule", "nodules"),
    "opacity": ("opacity", "opacities"),
    "pneumothorax": ("pneumothorax", "pneumothoraces"),
    "catheter": ("catheter", "catheters"),
    "line": ("line", "lines"),
    "rib": ("rib", "ribs"),
}

PLACE_BEFORE: dict[str | None, tuple[str, ...]] = {
    "upper": ("{side} upper lung zone", "{side} upper lung", "{side} upper lobe"),
    "mid": ("{side} mid lung zone", "{side} mid lung"),
    "lower": (
        "{side} lower lung zone",
        "{side} basilar",
        "{side} lower lung",
        "{side} lower lobe",
    ),
    None: ("{side} lung",),
}
PLACE_AFTER: dict[str | None, tuple[tuple[str, str], ...]] = {
    # (on one side, on both sides)
    "upper": (
        ("in the {side} upper lung zone", "in both upper lung zones"),
        ("in the {side} upper lobe", "in both upper lobes"),
    ),
    "mid": (
        ("in the {side} mid lung zone", "in both mid lung zones"),
        ("in the {side} mid lung", "in both mid lungs"),
    ),
    "lower": (
        ("in the {side} lower lung zone", "in both lower lung zones"),
        ("at the {side} lung base", "at both lung bases"),
        ("in the {side} lower lobe", "in both lower lobes"),
    ),
    None: (("in the {side} lung", "in both lungs"),),
}

NOUN_PHRASES: dict[str, tuple[str, ...]] = {
    "opacity": (
        "[{sev} {adj} {opacity}]",
        "[{sev} {opacity} {at}]",
        "[{sev} {adj} airspace {opacity}]",
    ),
    "consolidation": ("[{sev} {adj} consolidation]", "[{sev} consolidation {at}]"),
    "pleural_effusion": (
        "[{sev} {side} pleural {effusion}]",
        "[{sev} {side} {effusion}]",
    ),
    "pneumothorax": ("[{sev} {side} {pneumothorax}]", "[{sev} {side} apical {pneumothorax}]"),
    "trace_effusion": ("[trace pleural effusion]", "[trace posterior pleural effusion]"),
    "cardiomegaly": ("[{sev} cardiomegaly]", "[{sev} enlargement of the heart]"),
    "edema": ("[{sev} pulmonary edema]", "[{sev} interstitial edema]"),
    "atelectasis": ("[{sev} {adj} atelectasis]", "[{sev} atelectasis {at}]"),
    "nodule": (
        "[{sev} {adj} {nodule}]",
        "[{sev} {nodule} {at}]",
        "[{sev} pulmonary {nodule} {at}]",
    ),
    "mass": ("[{adj} {mass}]", "[{sev} {mass} {at}]"),
    "rib_fracture": ("[{side} {zone} rib {fracture}]", "[{fracture} of {of_rib}]"),
    "hyperinflation": ("[{sev} hyperinflation]", "[{sev} hyperinflation of the lungs]"),
    "hiatal_hernia": ("[hiatal hernia]",),
    "endotracheal_tube": ("[endotracheal tube]",),
    "central_line": (
        "[{side} central venous {catheter}]",
        "[{side} central {line}]",
        "[{side}-sided central {line}]",
    ),
    "pacemaker": (
        "[{side} pacemaker]",
        "[{side}-sided pacemaker]",
        "[{side} chest wall pacemaker]",
    ),
}

_PLAIN = ("There {is_} @ {np}{tail}.", "@ {np} {is_} present{tail}.", "@ {np} {is_} seen{tail}.")

SENTENCES: dict[str, tuple[str, ...]] = {
    "opacity": (*_PLAIN, "@ {np} may represent [pneumonia]."),
    "pleural_effusion": _PLAIN,
    "pneumothorax": _PLAIN,
    "cardiomegaly": (
        "There is {np}.",
        "The [heart is {adverb} enlarged].",
        "The [cardiac silhouette is {adverb} enlarged].",
        "[Heart size is {adverb} enlarged].",
    ),
    "edema": (
        "There is {np}.",
        "[Pulmonary vascular congestion] with {np}.",
        "[Diffuse interstitial markings] in keeping with {np}.",
    ),
    "atelectasis": (
        "There is {np}.",
        "{np} is present.",
        "{np} is noted.",
        "[Volume loss {at}] consistent with [{sev} atelectasis].",
    ),
    "nodule": _PLAIN,
    "rib_fracture": (
        "There {is_} @ {np}.",
        "@ {np} {is_} present.",
        "@ {np} {is_} seen.",
    ),
    "hyperinflation": (
        "The [lungs are {adverb} hyperinflated].",
        "There is {np}.",
        "The [lungs are {adverb} hyperinflated] with [flattened diaphragms].",
    ),
    "hiatal_hernia": (
        "There is @ {np}.",
        "@ {np} is present.",
        "[Retrocardiac lucency] consistent with @ {np}.",
    ),
    "endotracheal_tube": (
        "[Endotracheal tube] terminates above the carina.",
        "[Endotracheal tube tip] is above the carina.",
        "An [endotracheal tube] is in place.",
    ),
    "central_line": (
        "{np} with tip in the SVC.",
        "@ {np} terminates in the SVC.",
        "@ {np} {is_} in place.",
    ),
    "pacemaker": (
        "{np} with leads projecting over the heart.",
        "@ {np} is in place.",
        "{np} is noted.",
    ),
}

# Sentences that only fit one kind of group: "one side" of an effusion, small ones.
SPECIAL_SENTENCES: dict[str, tuple[str, ...]] = {
    "pleural_effusion mild": (
        "[Blunting of the {side} costophrenic angle] consistent with @ [{sev} effusion].",
        "The [{side} costophrenic angle is blunted], likely @ [{sev} pleural effusion].",
    ),
    "pleural_effusion severe": (
        "[Obscured {side} hemidiaphragm] consistent with @ [large effusion].",
    ),
}
UNEQUAL_EFFUSIONS = (
    "There are [bilateral pleural effusions], larger on the {larger}.",
    "[Bilateral pleural effusions], larger on the {larger}.",
    "There are [{right} right] and [{left} left pleural effusions].",
)

TRACE_EFFUSION = (
    "A [trace pleural effusion] blunts a posterior costophrenic angle.",
    "[Blunting of a posterior costophrenic angle] consistent with a [trace pleural effusion].",
    "There is a [trace pleural effusion] on the lateral view.",
    "[Trace pleural effusion] in a posterior costophrenic sulcus.",
)
"""Of an effusion that only the lateral shows."""

# How a finding is compared with a prior image, and what it is called then.
COMPARED: dict[str, str] = {
    "opacity": "[{adj} {opacity}]",
    "pleural_effusion": "[{side} pleural {effusion}]",
    "pneumothorax": "[{side} {pneumothorax}]",
    "cardiomegaly": "[enlargement of the heart]",
    "edema": "[pulmonary edema]",
    "atelectasis": "[{adj} atelectasis]",
    "nodule": "[{adj} {nodule}]",
    "mass": "[{adj} {mass}]",
    "rib_fracture": "[{side} {zone} rib {fracture}]",
    "hyperinflation": "[hyperinflation]",
    "hiatal_hernia": "[hiatal hernia]",
    "endotracheal_tube": "[endotracheal tube]",
    "central_line": "[{side} central venous {catheter}]",
    "pacemaker": "[{side} pacemaker]",
}
CHANGES: dict[str, tuple[str, ...]] = {
    "new": (
        "The {np} {is_} new since the prior study.",
        "The {np} {is_} new from the prior study.",
    ),
    "increased": (
        "The {np} {has} increased since the prior study.",
        "The {np} {has} worsened since the prior study.",
    ),
    "decreased": (
        "The {np} {has} decreased since the prior study.",
        "The {np} {has} improved since the prior study.",
    ),
    "unchanged": (
        "The {np} {is_} unchanged from the prior study.",
        "The {np} {is_} stable since the prior study.",
    ),
}
RESOLVED = ("The previously seen {np} has resolved.", "The previously noted {np} has resolved.")
REMOVED = ("The previously seen {np} has been removed.",)
NO_CHANGE = (
    "No significant change from the prior study.",
    "No significant change since the prior study.",
    "No significant interval change compared with the prior study.",
)

TAILS: dict[str, tuple[str, ...]] = {
    "opacity": (
        ", concerning for [pneumonia]",
        ", likely [pneumonia]",
        ", which may represent [pneumonia] or aspiration",
    ),
    "nodule": (", CT is recommended", ", follow-up is recommended"),
}

# What is not there. {absent} is a list, "pleural effusion or pneumothorax".
ABSENT = (
    "No {absent}.",
    "There is no {absent}.",
    "No evidence of {absent}.",
    "No {absent} is seen.",
    "Negative for {absent}.",
)
LUNGS_CLEAR = (
    "The lungs are clear.",
    "Lungs are clear.",
    "The lungs are clear bilaterally.",
    "Both lungs are well aerated and clear.",
)
HEART_NORMAL = (
    "The heart is normal in size.",
    "Heart size is normal.",
    "Heart size and mediastinal contours are normal.",
    "The cardiomediastinal silhouette is within normal limits.",
    "The cardiac silhouette is unremarkable.",
)
HEART_ONLY_NORMAL = ("The heart is normal in size.", "Heart size is normal.")
NORMAL_BONES = (
    "No acute osseous abnormality.",
    "The bones are intact.",
    "The osseous structures are unremarkable.",
    "No displaced rib fracture.",
)
NORMAL_VESSELS = (
    "Pulmonary vascularity is normal.",
    "The pulmonary vasculature is unremarkable.",
    "No pulmonary vascular congestion.",
)
NORMAL_DIAPHRAGM = (
    "The costophrenic angles are sharp.",
    "The hemidiaphragms are normal in contour.",
    "Costophrenic angles are clear.",
)
NORMAL_MEDIASTINUM = (
    "The mediastinal contours are unremarkable.",
    "Mediastinal and hilar contours are normal.",
    "The hila are unremarkable.",
)
NORMAL_ABDOMEN = (
    "The visualized upper abdomen is unremarkable.",
    "No free air beneath the diaphragm.",
)
DEGENERATIVE = (
    "Degenerative changes of the thoracic spine.",
    "There are degenerative changes of the spine.",
    "Mild degenerative changes in the spine.",
)
LOW_VOLUMES = (
    "Lung volumes are low.",
    "Low lung volumes.",
    "Low lung volumes with crowding of the bronchovascular markings.",
)
NORMAL_IMPRESSIONS = (
    "No acute cardiopulmonary abnormality.",
    "No acute cardiopulmonary process.",
    "No acute cardiopulmonary disease.",
    "Normal chest radiograph.",
    "No acute findings.",
    "No radiographic evidence of acute disease.",
)
OTHERWISE_NORMAL = ("No other acute abnormality.", "Otherwise no acute abnormality.")
