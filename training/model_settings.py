"""[model] of a run's settings: CrossRay's own decoder, or a language model of transformers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PositiveInt,
    ValidationError,
    create_model,
)
from pydantic_core import core_schema

from model.config import ReportConfig
from model.errors import ConfigError

__all__ = ["ModelSettings", "PretrainedModel", "Settings", "checked"]

SHAPE = (
    *("name", "notice", "encoder", "encoder_arguments", "stem", "stem_stride", "fine_stride"),
    *("image_size", "width", "layers", "heads", "mlp_ratio", "dropout", "max_tokens"),
    *("views", "prompt_tokens"),
)
"""Fields of ReportConfig that a run sets; the others follow from the data or are fitted later."""

Model = TypeVar("Model", bound=BaseModel)


class Settings(BaseModel):
    """Frozen; true is no number and a number is no text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_Shape: type[BaseModel] = create_model(
    "_Shape",
    __base__=Settings,
    # The defaults are ReportConfig's own.
    **{name: (ReportConfig.__annotations__[name], None) for name in SHAPE},  # type: ignore[call-overload]
)


class PretrainedModel(Settings):
    """[model] of a run whose decoder is a language model of transformers (`decoder` is given).

    The decoder has the shape its folder says; what else [model] may hold belongs to CrossRay's own.
    """

    name: str = ReportConfig.name
    notice: str = ReportConfig.notice
    encoder: str
    """A name of timm; or a folder or "hf:owner/name[@revision]" of a vision model: ViT, DeiT,
    DINOv2, DINOv3, Swin, ConvNeXt. That one brings its weights and its image processing."""
    encoder_arguments: dict[str, Any] = {}
    """Of a timm encoder, passed on to timm.create_model."""
    image_size: PositiveInt = 224
    """Of a timm encoder, in pixels; a folder's image processor has its own."""
    decoder: str
    """A folder or "hf:owner/name[@revision]" of GPT-2, DistilGPT2, BERT or RoBERTa; it gets
    cross-attention."""
    max_tokens: PositiveInt = ReportConfig.max_tokens
    views: Annotated[list[Literal["frontal", "lateral"]], Field(min_length=1)] = ["frontal"]
    """Nothing but its pixels shows such a decoder what an image is: no earlier image."""

    @property
    def prompt_tokens(self) -> int:
        """It reads no indication."""
        return 0


def _model(table: Any) -> ReportConfig | PretrainedModel:
    """[model] -> ReportConfig, which knows what of it works together; or PretrainedModel."""
    if isinstance(table, ReportConfig | PretrainedModel):
        return table
    if not isinstance(table, Mapping):
        raise ConfigError(f"setting 'model' = {table!r}: expected a table")
    if "decoder" in table:
        for name in sorted(set(SHAPE) & table.keys() - PretrainedModel.model_fields.keys()):
            raise ConfigError(
                f"model.{name} = {table[name]!r} is a setting of CrossRay's own decoder, and "
                f"model.decoder = {table['decoder']!r} is another: leave one of them out"
            )
        return checked(PretrainedModel, table, "model.")
    given = checked(_Shape, table, "model.").model_dump(exclude_unset=True)
    try:
        return ReportConfig(**given)
    except ConfigError as error:
        raise ConfigError(f"[model]: {error}") from error


def _dumped(model: ReportConfig | PretrainedModel) -> dict[str, Any]:
    if isinstance(model, PretrainedModel):
        return model.model_dump()
    return {name: getattr(model, name) for name in SHAPE}


class _ModelTable:
    """Tells pydantic how to read and write [model]: a ReportConfig is transformers' and not its."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _model, serialization=core_schema.plain_serializer_function_ser_schema(_dumped)
        )


ModelSettings = Annotated[ReportConfig | PretrainedModel, _ModelTable]


def checked(kind: type[Model], table: Mapping[str, Any], prefix: str) -> Model:
    """Raises: ConfigError: names each key with `prefix`, its value, and what it may be."""
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        details = (_detail(kind, dict(each), prefix) for each in error.errors())
        raise ConfigError("; ".join(details)) from error


def _detail(kind: type[BaseModel], error: dict[str, Any], prefix: str) -> str:
    *tables, name = (str(part) for part in error["loc"])
    key = prefix + ".".join((*tables, name))
    if error["type"] == "extra_forbidden":
        at: Any = kind
        for table in tables:
            at = at.model_fields[table].annotation
        return f"unknown setting {key!r}: known are {', '.join(sorted(at.model_fields))}"
    if error["type"] == "missing":
        return f"setting {key!r} is missing: it has no default"
    expected = error["msg"].removeprefix("Input should be ")
    return f"setting {key!r} = {error['input']!r}: expected {expected}"
