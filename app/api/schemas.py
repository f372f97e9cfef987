"""The API's JSON, which `crossray report --json` and the batch write too."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AskAnswer",
    "CheckAnswer",
    "DenialAnswer",
    "ExtentAnswer",
    "FindingAnswer",
    "FlagAnswer",
    "HeatmapAnswer",
    "ImageAnswer",
    "IssueAnswer",
    "ModelAnswer",
    "ModelDescription",
    "PlaceAnswer",
    "Problem",
    "ReportAnswer",
    "SectionAnswer",
    "SpanAnswer",
    "StatementAnswer",
    "Status",
    "StudyAnswer",
    "TextChange",
    "WarningAnswer",
    "WordAnswer",
]


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class SectionAnswer(Answer):
    name: Literal["findings", "impression"]
    text: str
    start: int = Field(description="first character in the report's text")
    end: int = Field(description="one past the last character")


class HeatmapAnswer(Answer):
    scale: float = Field(description="a patch's share of the attention is its byte x scale")
    data: str = Field(
        description="base64 of one unsigned byte per patch: images x rows x columns, row-major. "
        "Each is the byte nearest to the share, so it is off by at most half a scale."
    )


class Grounded(Answer):
    """What a word, a phrase, a sentence or a finding carries.

    All but `state` is null where the answer's `probability_withheld` says why.
    """

    probability: float | None = Field(
        ge=0,
        le=1,
        description="calibrated; of several words the product. Null of an answer that is not "
        "calibrated: about a finding that too few of the labeled radiographs fitted on had, or "
        "one at a place",
    )
    evidence: float | None = Field(
        description="log-likelihood ratio with and without the images, in nats: exp(evidence) "
        "times as likely with them. Near 0: the text alone suggests it. Of several words the sum."
    )
    state: Literal["grounded", "not grounded", "unknown", "withheld"] = Field(
        description="whether it has a place on the images; unknown of an imported model, for which "
        "no threshold was measured; withheld: see probability_withheld"
    )
    attention: float | None = Field(
        ge=0, le=1, description="share of the attention that fell on the images; it decides state"
    )
    heatmap: HeatmapAnswer | None = Field(
        description="null where it is not grounded, unless ?maps=all asked for what it attended to "
        "all the same: that is no place"
    )


class WordAnswer(Grounded):
    text: str
    start: int = Field(description="first character in the report's text")
    end: int = Field(description="one past the last character")


class SpanAnswer(Grounded):
    """Several words: a sentence, or what names a finding. Its map is the mean of the grounded."""

    text: str
    start: int = Field(description="first character in the report's text")
    end: int = Field(description="one past the last character")
    words: list[int] = Field(description="places of its words in the report's words")


class FindingAnswer(SpanAnswer):
    name: str = Field(description='such as "pleural_effusion"')
    sides: list[str] = Field(
        description='the patient\'s "left", "right" or both; empty where none is stated'
    )
    zone: str | None = Field(
        description='"upper", "mid" or "lower" third; null where none is stated'
    )
    certainty: str = Field(description='"definite" or "possible"')
    presence_probability: float | None = Field(
        ge=0,
        le=1,
        description="calibrated probability that the finding is present; `probability` is only "
        "that of this wording. Null where the checkpoint was never calibrated, and where "
        "probability_withheld says why",
    )
    clause_evidence: float | None = Field(
        description="evidence of the whole clause that mentions it; null where withheld"
    )


Inspected = Literal["inspected", "not inspected", "unknown", "withheld"]
"""Of what is denied: whether the decoder attended to a place on the images before it denied it."""


class DenialAnswer(SpanAnswer):
    """A finding that the report denies, in words or by calling something normal."""

    name: str = Field(description='such as "pleural_effusion"')
    sides: list[str] = Field(
        description='the patient\'s "left", "right" or both; empty where it is denied everywhere'
    )
    state: Inspected = Field(  # type: ignore[assignment]
        description="whether its words attended to a place on the images, which heatmap then shows"
    )


class FlagAnswer(Answer):
    """Something of the report that its reader should check first."""

    code: str = Field(description="stable; docs/reference/rest-api.md lists them")
    message: str
    start: int = Field(description="first character in the report's text")
    end: int = Field(description="one past the last character")


class WarningAnswer(Answer):
    """What speaks against reporting on an image, or on images as one study."""

    code: str = Field(description="stable; docs/reference/rest-api.md lists them")
    message: str


class ExtentAnswer(Answer):
    """The rectangle that the whole grid of patches covers, in the pixels of the image as shown.

    It reaches over the image's edge where the image was padded to a square.
    """

    left: float
    top: float
    width: float
    height: float


class StoredAnswer(Answer):
    """The pixels of the image's file, which may lie otherwise and may not be square."""

    rows: int
    columns: int
    matrix: tuple[float, float, float, float, float, float] = Field(
        description="a, b, c, d, e, f: the place (x, y) of the image as shown lies in column "
        "a x + b y + c and row d x + e y + f of the file"
    )


class ImageAnswer(Answer):
    width: int = Field(description="columns of the image as shown: upright, with square pixels")
    height: int = Field(description="its rows")
    view: str | None = Field(description='"PA", "AP", "LATERAL", or null where unknown')
    prior: bool = Field(description="of an earlier study; these come after the study's own")
    rows: int = Field(description="rows of patches")
    columns: int = Field(description="columns of patches")
    extent: ExtentAnswer
    stored: StoredAnswer
    warnings: list[WarningAnswer] = Field(
        description="what speaks against a report on this image; empty where nothing does"
    )
    png: str | None = Field(
        default=None,
        description="base64 of an 8 bit gray PNG, bone white, longest side at most 1024; "
        "only where ?pixels=true asked for it",
    )


class ModelAnswer(Answer):
    name: str
    sha256: str = Field(description="of the checkpoint's weights")


class StudyAnswer(Answer):
    """What a report and an answer say of the study they were made from."""

    indication: str = Field(description="as it was given; empty where none was")
    images: list[ImageAnswer]
    warnings: list[WarningAnswer] = Field(
        description="what speaks against reading the images as one study; empty where nothing does"
    )
    probability_withheld: str | None = Field(
        description="why there are no probabilities and no heatmaps, in one sentence for the "
        "reader; null where there are"
    )
    model: ModelAnswer
    notice: str


class ReportAnswer(StudyAnswer):
    study: str | None = Field(
        default=None, description="its id where this service keeps studies; null where it does not"
    )
    text: str
    sections: list[SectionAnswer]
    words: list[WordAnswer]
    sentences: list[SpanAnswer]
    findings: list[FindingAnswer] = Field(description="what the report asserts, in its order")
    denials: list[DenialAnswer] = Field(
        default_factory=list, description="what the report says is not there, in its order"
    )
    review: list[FlagAnswer] = Field(description="what to check first; empty where nothing is odd")


class AskAnswer(Grounded, StudyAnswer):
    """How probable a finding is on the images of one study, whether or not its report names it."""

    phrase: str = Field(
        description='without the form of a question: "fracture" of "is there a fracture?"'
    )
    text: str = Field(
        description="the question with its answer; of a model that does not answer questions a "
        "sentence that asserts it: of a sampled report, or made where none does"
    )
    matches: int | None = Field(
        description="how many of the sampled reports assert it; null where the model "
        "answers questions, and where probability_withheld says why"
    )
    samples: int | None = Field(description="how many reports were sampled; null as above")


class StatementAnswer(SpanAnswer):
    """One thing that the report states of a finding."""

    name: str = Field(description='such as "pleural_effusion"')
    present: bool = Field(description="false where it is denied")
    sides: list[str] = Field(
        description='the patient\'s "left", "right" or both; empty where none is said'
    )
    zone: str | None = Field(description='"upper", "mid" or "lower" third; null where none is said')
    severity: str | None = Field(
        description='"mild", "moderate" or "severe"; null where none is said, and of a denial'
    )
    presence_probability: float | None = Field(
        ge=0,
        le=1,
        description="calibrated probability that there is such a finding, whatever the report says "
        "of it; null where it was not calibrated, and where probability_withheld says why",
    )


class PlaceAnswer(Answer):
    start: int = Field(description="first character in the report's text")
    end: int = Field(description="one past the last character")


class IssueAnswer(Answer):
    """Something that is wrong with the report, or missing from it."""

    code: str = Field(description="stable; docs/reference/rest-api.md lists them")
    message: str
    name: str | None = Field(description="the finding; null of what is not about one")
    places: list[PlaceAnswer] = Field(
        description="where the report states it; empty of what it does not mention"
    )
    probability: float | None = Field(
        ge=0,
        le=1,
        description="that it is an error, in reports of which every second one has one; null where "
        "the checkpoint was not fitted, where it needs no image, and where probability_withheld "
        "says why",
    )
    evidence: float | None = Field(description="log-odds that it is an error, in nats; or null")
    suggestion: str = Field(description="what the report could say instead; may be empty")
    state: Literal["grounded", "not grounded", "unknown", "withheld"]
    heatmap: HeatmapAnswer | None = Field(description="of the suggestion; null where it has none")


class CheckAnswer(StudyAnswer):
    """Somebody's report checked against its images."""

    text: str = Field(description="as the model reads it: with spaces for line breaks")
    sections: list[SectionAnswer]
    words: list[WordAnswer]
    sentences: list[SpanAnswer]
    statements: list[StatementAnswer] = Field(description="what it states of findings, in order")
    issues: list[IssueAnswer] = Field(
        description="what to correct, in the order of the text; what is missing comes last"
    )


class ModelDescription(Answer):
    """The model this service reads with."""

    version: str = Field(description="of the software")
    name: str
    sha256: str
    rows: int = Field(description="rows of patches per image")
    columns: int = Field(description="columns of patches per image")
    image_size: int = Field(description="side of the square an image is scaled into, in pixels")
    views: list[str] = Field(
        description='what it reads: "frontal", and where trained so "lateral" and "prior", a '
        "frontal image of an earlier study"
    )
    prompt_tokens: int = Field(description="longest indication in tokens; 0: it reads none")
    notice: str


class Status(Answer):
    status: str


class TextChange(Answer):
    """Of a text that is being written: from a place on it now reads so."""

    start: int = Field(description="characters of the text before, which stay")
    text: str = Field(description="what follows them now")


class Problem(Answer):
    """Every error's body: problem details as in RFC 9457."""

    type: str = Field(description="stable; docs/reference/rest-api.md lists them")
    title: str
    status: int
    detail: str
    instance: str = Field(description="/requests/ and the request's id, the same as in the log")
