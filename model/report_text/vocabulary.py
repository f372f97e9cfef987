"""The vocabulary of the reader: how radiologists name findings, places, doubt and absence.

Every pattern is matched without regard to case.
"""

import re

__all__ = ["PRIOR", "TERMS"]


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


_UP_TO_3_WORDS = r"(?:[\w-]+\s+){0,3}"
_UP_TO_4_WORDS = r"(?:(?!and\b|with\b)[\w-]+\s+){0,4}"
_HEART = r"(?:heart|cardiac|cardiomediastinal)(?:\s+(?:size|silhouette|contours?|shadow))?"

# In order of priority: an earlier pattern keeps the letters it has matched.
TERMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("hiatal_hernia", _any(r"\bhiat(?:al|us) hernias?\b")),
    (
        "endotracheal_tube",
        _any(
            r"\b(?:endo|oro|naso)tracheal tubes?(?: tip)?\b",
            r"\bE\.?T\.? tubes?(?: tip)?\b",
            r"\bETT\b",
        ),
    ),
    (
        "pacemaker",
        _any(
            r"\bpacemakers?(?: leads?| device| generator)?\b",
            r"\bpacers?\b",
            r"\bpacing (?:device|leads?|wires?)\b",
            r"\b(?:AICD|ICD)\b",
            r"\bdefibrillators?\b",
        ),
    ),
    (
        "central_line",
        _any(
            r"\bcentral (?:venous )?(?:access )?(?:lines?|catheters?)\b",
            r"\bPICC(?: lines?| catheters?)?\b",
            r"\b(?:IJ|jugular|subclavian)(?: vein)?(?: approach)?(?: central)?(?: venous)?"
            r"(?: dialysis)? (?:lines?|catheters?|port|sheath)\b",
            r"\bport-?\s?a-?\s?cath\w*|\bportacath\w*|\bmediport\b|\bport catheter\b",
            r"\bdialysis catheters?\b",
            r"\bCVC\b",
        ),
    ),
    (
        "rib_fracture",
        _any(
            r"\bribs?(?: \w+){0,2} (?:fractures?|fxs?)\b",
            r"\bfxs? of (?:the )?(?:[\w-]+ ){0,4}?ribs?\b",
            r"\bfractures?(?: deformit(?:y|ies))?,? (?:of|in|involving) [\w\s,/-]{0,60}?\bribs?\b",
            r"\b(?:fractured|broken) (?:\w+ ){0,2}ribs?\b",
            r"\bribs? (?:is|are) (?:\w+ )?(?:fractured|broken)\b",
        ),
    ),
    (
        "cardiomegaly",
        _any(
            r"\bcardiomegaly\b",
            rf"\b{_HEART}:?\s+{_UP_TO_4_WORDS}?enlarged\b",
            r"\bheart (?:is|appears|remains) (?:[\w-]+ )?(?:large|big)\b",
            rf"\benlarged?\s+{_HEART}",
            rf"\benlargement of the {_UP_TO_3_WORDS}?{_HEART}",
            r"\bcardiac enlargement\b",
        ),
    ),
    (
        "hyperinflation",
        _any(
            r"\blungs (?:are|appear|remain) (?:\w+ ){0,2}(?:hyper(?:inflated|expanded|aerated))\b",
            r"\bhyper-?\s?(?:inflat|expan|aerat|disten)\w+(?: lungs)?\b",
            r"\bflatten(?:ed|ing)(?: of)?(?: the| both)? (?:hemi)?diaphragms?\b",
            r"(?<!subcutaneous )\bemphysema(?:tous)?\b",
            r"\bCOPD\b",
        ),
    ),
    (
        "pneumothorax",
        _any(r"\b(?:hydro)?pneumothora(?:x|ces|xes)\b", r"\bPTX\b"),
    ),
    (
        "pleural_effusion",
        _any(
            r"(?<!pericardial )(?<!joint )\b(?:pleural )?effusions?\b",
            r"\bpleural fluid\b",
            r"\bh(?:a)?emothorax\b",
            r"\bblunt\w*(?: of)?(?: the)? (?:\w+ ){0,3}costophrenic (?:angles?|sulc(?:us|i))\b",
            r"\bcostophrenic (?:angles?|sulc(?:us|i)) (?:is|are|appears?|remains?)"
            r" (?:\w+ ){0,2}blunted\b",
        ),
    ),
    (
        "edema",
        _any(
            r"(?<!soft tissue )(?<!subcutaneous )\b(?:(?:pulmonary|interstitial|alveolar) )*"
            r"o?edema\b",
            r"\b(?:pulmonary )?(?:vascular|venous|vasculature) congestion\b",
            r"\bcephali[sz]ation\b",
            r"\bKerley\b",
        ),
    ),
    (
        "atelectasis",
        _any(
            r"\batelecta(?:sis|ses|tic)(?: changes?)?\b",
            r"\bvolume loss\b",
            r"(?<!vertebral )(?<!body )(?<!endplate )\bcollapsed?\b",
        ),
    ),
    (
        "nodule",
        _any(
            r"\b(?:pulmonary |lung )?nodul(?:es?|ar (?:opacit(?:y|ies)|densit(?:y|ies)))\b",
            r"(?<!mediastinal )(?<!thyroid )(?<!hilar )(?<!soft tissue )"
            r"\b(?:pulmonary |lung )?mass(?:es)?\b(?! effect)",
            r"\b(?:pulmonary|lung|coin) lesions?\b",
        ),
    ),
    (
        "opacity",
        _any(
            r"\b(?:airspace |air space )?opacit(?:y|ies)\b",
            r"\bopacifications?\b",
            r"\b(?:airspace |air space )?consolidations?\b",
            r"\binfiltrates?\b",
            r"\bair\s?-?space (?:disease|process)\b",
            r"\bpneumonias?\b",
        ),
    ),
)

# Words inside a term that do not name the finding.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and appear appears are both in involving is of remain remains the not no longer"
        " left right upper mid lower acute mildly moderately severely markedly borderline"
        " first second third fourth fifth sixth seventh eighth ninth tenth",
    )
)

_HEADINGS = (
    r"findings?|impressions?|conclusions?|opinion|report|indications?|(?:clinical )?history|"
    r"clinical information|reason for exam\w*|technique|comparisons?|exam(?:ination)?|procedure"
)
# A point inside a number or behind an abbreviation ends nothing; a line's end neither, since many
# reports are wrapped. The number of a list's item ("1.") is recognized in parser._cut. A question
# mark between spaces ("opacity ? pneumonia") doubts what follows.
SENTENCE_ENDS = re.compile(
    rf"(?P<heading>\b(?i:{_HEADINGS})\s*:)"
    r"|(?<!\b[Vv]s)(?<!\b[Dd]r)(?<!\be\.g)(?<!\bi\.e)(?<!\bapprox)[.;!]+(?=\s|$)"
    r"|(?<=\S)\?+(?=\s|$)|(?<=\s)\?+(?=\s+[A-Z]|\s*$)|(?<=[a-z])\.(?=[A-Z])"
    r"|\s(?=\d{1,2}\)\s+[A-Z])"
    # A line that goes on in small letters, or with an abbreviation, is only wrapped.
    r"|\n\s*(?=\n|\d+[.)]|[A-Z][A-Z ]{3,}:|[A-Z][a-z])"
)
ITEM_NUMBER = re.compile(r"\s*\(?\d{1,2}")
SILENT_SECTIONS = _any(r"indication|history|information|reason|technique|comparison|exam|procedure")
# A sentence that answers the question before it: "Effusion? None."
ANSWERED_NO = _any(r"\s*(?:no|none|neither|nothing|negative|not)\b")
ANSWERED_YES = _any(r"\s*(?:yes|present|positive)\b")

# "No change in the effusion" does not deny the effusion, nor does "nearly resolved".
_GRADES = r"(?:(?:significant|substantial|interval|definite|appreciable|new|gross)(?:ly)? )*"
_GONE = r"(?:resolved|cleared|removed|disappeared|excluded|gone|absent)"
_IN_PART = (
    r"(?:near(?:ly)?|almost|partial(?:ly)?|partly|mostly|largely|incomplete(?:ly)?|some|slight(?:ly)?|"
    r"mild|minimal|moderate|marked|not|never)"
)
CHANGE_NOT_ABSENCE = _any(
    rf"\b(?:no|without) (?:{_GRADES})(?:change|increase|decrease|improvement|progression)\b"
    r"(?: (?:in|of)\b)?",
    rf"\bnot (?:{_GRADES})(?:changed|increased|decreased|improved)\b",
    r"\bno (?:worse|better|larger|smaller|less|more|different)\b",
    r"\bnot (?:only|just|limited to)\b",
    rf"\b{_IN_PART}[\s-](?:\w+ ){{0,2}}(?:{_GONE}|resolution|clearing|removal)\b(?: of\b)?",
)
_CANNOT = (
    r"(?:cannot|can ?not|can't|could not|couldn't|unable to|(?:difficult|hard|impossible) to|not|"
    r"never|doesn't|don't|isn't|aren't)"
)
_APART = r"(?:distinguish(?:ed)?|differentiated?|told(?: apart)?)"
NOT_EXCLUDED = _any(
    rf"\b{_CANNOT}(?: be)?(?: (?:\w+ly|well))?(?: be)? "
    r"(?:(?:exclud(?:e|ed|ing)|dismiss(?:ed)?|r/o)\b|rule(?:d)?(?: ?-?out)?\b|"
    rf"{_APART} from\b)",
)
DOUBT = _any(
    r"\b(?:possibl[ey]|possibilit(?:y|ies)|potential(?:ly)?|probabl[ey]|(?<!un)likely|likelihood)\b",
    r"\b(?:may(?:be)?|might|could|perhaps|presum(?:ed|ably|ptive))\b",
    r"\b(?:borderline|equivocal|upper limits?|upper normal|(?:top|high)[\s-]normal)\b",
    r"\b(?:suspect\w*|suspici\w+|suggest\w*|concern(?:ing|s)?(?: for)?|worrisome|worry)\b",
    r"\b(?:questionabl\w*|questioned|question of|questions?|query|queried|versus|vs)\b",
    r"\b(?:doubt(?:ful)?|low (?:suspicion|likelihood|probability))\b",
    r"\b(?:(?:should|may|might|could|to) be (?:\w+ )?considered|considerations?|differential)\b",
    r"(?<!\S)\?\s*(?=\w)",
)
# Doubt about what follows, not about the finding before it: "opacity concerning for pneumonia".
POINTS_ONWARD = _any(
    r"\b(?:concerning|suspicious|worrisome|suggestive|concern|suspicion) (?:for|of)\b",
    r"\b(?:(?:may|might|could|would|likely|possibly|probably) )*(?:represent|reflect)\w*",
)
# Behind a finding: the other one it may be ("atelectasis versus pneumonia").
# Or that it is no more than likely ("edema is likely, although").
ALTERNATIVE = _any(
    r"(?:\s+(?!with\b|and\b|but\b)[\w-]+){0,4}?\s+(?:versus|vs)\b",
    r"\s+(?:is|are|seems?|appears?) (?:\w+ )?(?:likely|probable)\b(?=\s*(?:$|[,.;]|given\b|but\b))",
    rf"\s+{_CANNOT} (?:be )?(?:\w+ly )?{_APART} from\b",
)
# Between two findings of which the report says that it is one or the other.
EITHER = re.compile(r"[\w\s,/-]*?(?:\b(?:or|versus|vs)\b\.?|/)[\w\s-]*", re.IGNORECASE)
LISTED = re.compile(r"\s*,\s*(?:[\w-]+\s+){0,3}|\s+and\s+", re.IGNORECASE)
NEW_STATEMENT = _any(
    r"\b(?:is|are|was|were|has|have|had|there|with|without|but|which|no|may|might|could|can)\b"
)
_SHOW = (
    r"(?:show|demonstrate|reveal|have|has|suggest|represent|indicate|reflect|appear|see|find|identify|"
    r"include|think|favor|support|constitute)"
)
_LIKE = (
    r"(?:(?:typical|characteristic|suggestive|suspicious|concerning|diagnostic|indicative|"
    r"representative) (?:of|for)|(?:consistent|compatible|in keeping) with|due to|from|"
    r"(?:felt|thought|believed) to (?:be|represent))"
)
DENIAL_BEFORE = _any(
    r"\bno\b(?! longer)|\b(?:nor|neither|never|nothing|without|w/o)\b",
    r"\bno longer (?:any|an?|shows?|demonstrates?|has|have|contains?)\b",
    r"\b(?:free|clear|cleared|devoid) of\b",
    r"\b(?:absence|lack|resolution|removal|clearing|disappearance|explantation) of\b",
    r"\b(?:negative|neg) for\b",
    rf"(?:\bnot|n't) (?:\w+ )?(?:{_SHOW}|{_LIKE})\b",
    r"(?:\bnot|n't) (?:an?|any|the|true|real|pneumonia|frank|overt)\b",
    r"\bfail(?:s|ed)? to (?:show|demonstrate|reveal)\b",
    r"\bagainst (?!the\b)|\bunlikely(?: to (?:be|represent|reflect|indicate))?(?=\s)",
    r"\b(?:rather than|instead of|as opposed to)\b",
    r"\b(?:not (?:to )?be|rather than) (?:mistaken for|confused with)\b",
    r"\b(?:excludes|excluding|rules out|ruling out|ruled out)\b",
    r"\b(?:simulat|mimic)\w*\b",
    r"(?:^\W*|\b(?:an?|the|now|interval|with|recently) )(?:completely |now )?"
    r"(?:resolved|cleared|removed|absent)\b(?!\s*(?:$|[,.]|(?:and|or|since|in|on|with|but|from|by)\b))",
)
# Asked for, past or only conceivable: neither asserted nor denied.
SILENCE_BEFORE = _any(
    r"\b(?:may|might|could) (?:obscure|mask|hide)\b",
    r"\b(?:rule out|to exclude|exclude|r/o)\b",
    r"\bevaluat(?:e|ion) (?:for|of)\b",
    r"\bhistory of\b|\bhx of\b|\bh/o\b",
    r"\bif (?:there is )?(?:\w+ ){0,3}(?:warning|suspicion|concern) (?:for|of)\b",
    r"\bless likely than\b",
    r"\bto (?:identify|detect)\b|\b(?:in|for) (?:identifying|detecting)\b",
)
# Between "no" and a finding: only this kind of it is denied.
IN_PART = _any(
    r"\b(?:large|big|sizable|sizeable|moderate|significant|substantial|acute|displaced|new|other|"
    r"additional|further|increas\w*|worsen\w*|tension|gross|overt|frank|superimposed|recurrent|"
    r"residual|active|typical|suspicious|convincing|definit\w*|discrete|confluent|associated|"
    r"overlying|adjacent|corresponding|underlying|enlarging|developing|lobar|focal)\b"
)
_BE = r"(?:is|are|was|were|has|have|had|remains?|appears?|seems?|can|be|been)"
_NOT_WELL = r"(?!well|full|complete|entire|adequate|optimal|reliabl|includ|definit)"
_SEEN = (
    r"(?:seen|identified|present|visuali[sz]ed|visible|demonstrated|evident|apparent|appreciated|noted|"
    r"detected|detectable|observed|found|shown|suspected|suggested|recogni[sz]ed|discernible|"
    r"perceptible|confirmed|there|felt to be present)"
)
_NOW = (
    r"(?:(?:now|since|again|also|both|all|otherwise|completely|fully|entirely|totally|subsequently|"
    r"interval(?:ly)?|essentially|apparently|highly|very|considered|(?:felt|thought) to be|most) )*"
)
DENIAL_AFTER = _any(
    rf"\b(?:{_BE} )+(?:\w+ )?(?:not|no longer)(?: be)?(?: {_NOT_WELL}\w+)? {_SEEN}\b",
    rf"\b(?:isn't|aren't|wasn't|weren't|cannot be|can't be|could not be|can no longer be)"
    rf"(?: {_NOT_WELL}\w+)? {_SEEN}\b",
    rf"\b(?:not|no longer) {_SEEN}\b",
    rf"(?:\b(?:{_BE} )+)?\b{_NOW}"
    r"(?:resolved|cleared|disappeared|vanished|removed|excluded|ruled out|absent|gone|unlikely|"
    r"extubated|explanted|improbable|pulled|discontinued|taken out)\b",
    rf"(?::|\s[-\u2013\u2014])\s*(?:none|no|nil|absent|negative|not {_SEEN})\b",
    r",\s*(?:none|nil|absent|negative)\b",
    r"(?<=\w) removal\b",
)
# What is not seen is this, not the finding: "the tip of the tube is not seen".
PART_OF = re.compile(
    r"\b(?:tips?|ends?|side ?(?:port|hole)s?|portions?|parts?|extent|margins?|borders?|cause|"
    r"origin|evaluation|assessment|to evaluate|to assess) (?:of )?(?:the )?(?:[\w-]+ ){0,3}$",
    re.IGNORECASE,
)
_AFRESH = (
    r"(?:small|tiny|trace|mild\w*|minimal|moderate\w*|large|severe\w*|marked\w*|subtle|faint|patchy|"
    r"dense|stable|unchanged|persistent|residual|known|chronic|right|left|bilateral|an?|the|there|"
    r"it|increased|possible|probable|likely)\b"
)
_HAS = r"(?:is|are|has|have|remains?|appears?)"
_CHANGED = (
    r"(?:stable|unchanged|again|enlarged|(?:in|de)creased|improved|wors\w+|new|larger|smaller|"
    r"persist\w*)\b"
)
# Where the reach of "no" ends. The second kind does not end it inside a list closed with "or".
NEGATION_ENDS = (
    _any(
        r"\b(?:but|however|although|though|except|despite|whereas|while|which|otherwise|yet)\b",
        r"\b(?:aside|apart) from\b|\bother than\b|\bin the setting of\b",
        r"\b(?:due|secondary) to\b|\bpatient with\b|\bobscured by\b",
        r"\bthere (?:is|are|has|have)\b",
        r"\band (?:favors?|suggests?|shows?|demonstrates?|(?:is|are|most) consistent)\b",
        # "No effusion is seen, and cardiomegaly is stable."
        rf"(?:,|\band)\s+(?:and )?(?:the )?(?=(?:[\w-]+\s+){{1,4}}?{_HAS} (?:\w+ly )?{_CHANGED})",
        rf"\bwith (?={_AFRESH})",
    ),
    _any(rf",\s*(?:and\s+)?(?={_AFRESH})", rf"\band\s+(?={_AFRESH})"),
)
NEGATION_INSIDE = _any(r"\b(?:not|no longer|never)\b|n't\b")
# Between two findings: what is gone or not seen behind it is the later one only.
EVENT_BETWEEN = _any(
    r"\b(?:is|are|has|have|but|persists?|remains?)\b",
    r"\b(?:after|following|post|before|prior to|despite|upon)\b",
)
EXPLANATION = _any(
    r"\b(?:consistent|compatible|in keeping) with\b",
    r"\b(?:likely|probably|possibly)\b",
    r"\b(?:(?:may|might|could) )?(?:be |possibly )?(?:represent|reflect|suggest|indicat)\w*",
    r"\b(?:may|might|could) be\b",
    r"\b(?:versus|vs|or)\b",
    r"\b(?:concerning|suspicious|worrisome) for\b",
    r"\b(?:due|secondary|related) to\b",
    r"\b(?:adjacent|associated|overlying|underlying|compressive|bordering)\b",
)
# Between two findings; "and" between two words of place ("right upper and lower") is none.
DELIMITERS = _any(
    r"[,(]",
    r"(?<!right )(?<!left )(?<!upper )(?<!mid )(?<!middle )(?<!lower )\b(?:and|or)\b",
    r"\b(?:with|without|but|no|plus|as well as|however|although|while)\b",
)

PLACES = _any(
    r"\b(?:right|left)(?:ward)?\b",
    r"\blingula\w*",
    r"\b(?:bilateral\w*|both|each|bibasilar|bibasal|biapical)\b",
    r"\b(?:upper|apical|apex|apices|suprahilar|mid|middle|midlung|perihilar)\b",
    r"\b(?:lower|bases?|basilar|basal|infrahilar|retrocardiac)\b",
)
SIDES: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = (
    (_any(r"right"), frozenset({"right"})),
    (_any(r"left|lingul"), frozenset({"left"})),
    (_any(r"bi|both|each"), frozenset({"right", "left"})),
)
ZONES: tuple[tuple[re.Pattern[str], str], ...] = (
    (_any(r"upper|apical|apex|apices|biapical|suprahilar"), "upper"),
    (_any(r"mid|middle|midlung|perihilar|lingula\w*"), "mid"),
    (_any(r"lower|bases?|basilar|basal|bibasilar|bibasal|infrahilar|retrocardiac"), "lower"),
)
NOT_A_PLACE = _any(
    r"\b(?:right|left)(?:-sided)? (?:atri|ventric|heart|main|aort)\w*",
    r"\b(?:upper|lower|mid|middle) (?:limits?|abdom\w*|quadrants?|extremit\w*|SVC|trachea|thoracic"
    r" spine|cervical|esophag\w*|clavic\w*|mediastin\w*)",
    r"\bbase of the (?:neck|heart)",
)
# Words that make sense only beside an earlier image.
PRIOR = _any(
    r"\b(?:compared?|comparison) (?:to|with)\b(?! the (?:right|left|opposite|contralateral)\b)",
    r"\b(?:since|from|than|on|over) (?:the |an? )?(?:prior|previous|earlier|last|most recent)\b",
    r"\b(?:prior|previous|earlier|comparison) "
    r"(?:\w+ )?(?:exam\w*|stud(?:y|ies)|films?|radiographs?|x-?rays?|images?)\b",
    r"\bpreviously (?:\w+ )?(?:seen|noted|described|identified|demonstrated|present)\b",
    r"\b(?:unchanged|no longer)\b",
    r"\binterval (?:\w+ )?(?:change|increase|decrease|improvement|worsening|development|resolution|"
    r"progression|clearing|removal|placement|enlargement|growth|appearance)\w*\b",
    r"\bno (?:\w+ )?(?:interval )?change\b",
    r"\bstable\b",
    r"\b(?:has|have) (?:\w+ )?(?:increased|decreased|improved|worsened|progressed|resolved|cleared|"
    r"developed|enlarged|grown|been (?:removed|placed|repositioned|exchanged))\b",
    r"\b(?:is|are|appears?) (?:slightly |mildly |significantly |markedly )?"
    r"(?:improved|worsened|worse|better)\b",
    r"\bnew(?:ly)? (?:since|from|compared|developed|appeared)\b|\b(?:is|are|appears?) new\b",
    r"\bagain (?:seen|noted|demonstrated|identified|visuali[sz]ed)\b|\bredemonstrat\w+",
    r"\bpersistent\b|\bpersists?\b",
)
