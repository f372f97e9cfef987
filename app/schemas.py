"""The API's JSON, which `crossray report --json` and the batch write too."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ExtentAnswer",
    "HeatmapAnswer",
    "ImageAnswer",
    "ModelAnswer",
    "ModelDescription",
    "Problem",
    "ReportAnswer",
    "SectionAnswer",
    "Status",
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
    scale: float = Field(description="a patch's share of the word's attention is its byte x scale")
    data: str = Field(
        description="base64 of one unsigned byte per patch: images x rows x columns, row-major. "
        "Each is the byte nearest to the share, so it is off by at most half a scale, and the sum "
        "over all patches of all images differs from 1 by at most half a scale a patch."
    )


class WordAnswer(Answer):
    text: str
    start: int = Field(description="first character in the report's text")
    end: int = Field(description="one past the last character")
    probability: float = Field(
        ge=0, le=1, description="of the word's tokens, given the text before them"
    )
    heatmap: HeatmapAnswer


class ExtentAnswer(Answer):
    """The rectangle that the whole grid of patches covers, in the picture's own pixels.

    It reaches over the picture's edge where the picture was padded to a square.
    """

    left: float
    top: float
    width: float
    height: float


class ImageAnswer(Answer):
    width: int = Field(description="columns of the picture as stored")
    height: int = Field(description="rows of the picture as stored")
    view: str | None = Field(description='"PA", "AP", "LATERAL", or null where unknown')
    rows: int = Field(description="rows of patches")
    columns: int = Field(description="columns of patches")
    extent: ExtentAnswer
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
    images: list[ImageAnswer]
    model: ModelAnswer
    notice: str


class ModelDescription(Answer):
    """The model this service reads with."""

    name: str
    sha256: str
    rows: int = Field(description="rows of patches per picture")
    columns: int = Field(description="columns of patches per picture")
    image_size: int = Field(description="side of the square a picture is scaled into, in pixels")
    notice: str


class Status(Answer):
    status: str


class Problem(Answer):
    """Every error's body: problem details as in RFC 9457."""

    type: str = Field(description="stable; docs/api.md lists them")
    title: str
    status: int
    detail: str
    instance: str = Field(description="urn:uuid: of this request, the same as in the log")
