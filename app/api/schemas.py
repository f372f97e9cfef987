"""The API's JSON, which `crossray report --json` and the batch write too."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AskAnswer",
    "ExtentAnswer",
    "FindingAnswer",
    "FlagAnswer",
    "HeatmapAnswer",
    "ImageAnswer",
    "ModelAnswer",
    "ModelDescription",
    "Problem",
    "ReportAnswer",
    "SectionAnswer",
    "SpanAnswer",
    "Status",
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
    """What a word, a phrase, a sentence or a finding carries."""

    probability: float | None = Field(
        ge=0,
        le=1,
        description="calibrated; of a report's words the product. Null of an answer that is not "
        "calibrated: about a finding that too few of the labeled radiographs fitted on had, or "
        "one at a place",
    )
    evidence: float = Field(
        description="in nats: by how much the images raised the log-probability over the same "
        "text before it without them. exp(evidence) times as likely; near 0: the text alone "
        "suggests it. Of several words the sum."
    )
    state: Literal["grounded", "not grounded", "unknown"] = Field(
        description="whether it has a place on the images; unknown of an imported model, for which "
        "no threshold was measured"
    )
    attention: float = Field(
        ge=0, le=1, description="share of the attention that fell on the images; it decides state"
    )
    heatmap: HeatmapAnswer | None = Field(description="null where it is not grounded")


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
        description='the patient\'s "left", "right" or both; empty where none is said'
    )
    zone: str | None = Field(description='"upper", "mid" or "lower" third; null where none is said')
    certainty: str = Field(description='"definite" or "possible"')
    chance: float | None = Field(
        ge=0,
        le=1,
        description="calibrated, that it is there; probability is only that of this wording; null "
        "where the checkpoint was never calibrated",
    )
    clause_evidence: float = Field(
        description="in nats, of all words of the clause that speaks of it"
    )


class FlagAnswer(Answer):
    """Something of the report that its reader should check first."""

    code: str = Field(description="stable; docs/reference/rest-api.md lists them")
    message: str
    start: int = Field(description="first character in the report's text")
    end: int = Field(description="one past the last character")


class WarningAnswer(Answer):
    """What speaks against reporting on an image."""

    code: str = Field(description="stable; docs/reference/rest-api.md lists them")
    message: str


class ExtentAnswer(Answer):
    """The rectangle that the whole grid of patches covers, in the image's own pixels.

    It reaches over the image's edge where the image was padded to a square.
    """

    left: float
    top: float
    width: float
    height: float


class ImageAnswer(Answer):
    width: int = Field(description="columns of the image as shown: upright, with square pixels")
    height: int = Field(description="its rows")
    view: str | None = Field(description='"PA", "AP", "LATERAL", or null where unknown')
    prior: bool = Field(description="of an earlier study; these come after the study's own")
    rows: int = Field(description="rows of patches")
    columns: int = Field(description="columns of patches")
    extent: ExtentAnswer
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


class ReportAnswer(Answer):
    text: str
    sections: list[SectionAnswer]
    words: list[WordAnswer]
    sentences: list[SpanAnswer]
    findings: list[FindingAnswer] = Field(description="what the report asserts, in its order")
    review: list[FlagAnswer] = Field(description="what to check first; empty where nothing is odd")
    indication: str = Field(description="as it was given; empty where none was")
    images: list[ImageAnswer]
    model: ModelAnswer
    notice: str


class AskAnswer(Grounded):
    """What a phrase, which the report need not hold, is worth on the images of one study."""

    phrase: str = Field(
        description='without the form of a question: "fracture" of "is there a fracture?"'
    )
    text: str = Field(
        description="the question with its answer; of a model that does not answer questions a "
        "sentence that says it: of a draft, or made where none does"
    )
    said: int | None = Field(
        description="how many of the drafts the model wrote of these images say it; null where it "
        "answers questions"
    )
    drafts: int | None
    indication: str = Field(description="as it was given; empty where none was")
    images: list[ImageAnswer]
    model: ModelAnswer
    notice: str


class ModelDescription(Answer):
    """The model this service reads with."""

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


class Problem(Answer):
    """Every error's body: problem details as in RFC 9457."""

    type: str = Field(description="stable; docs/reference/rest-api.md lists them")
    title: str
    status: int
    detail: str
    instance: str = Field(description="urn:uuid: of this request, the same as in the log")
