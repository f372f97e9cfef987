"""What a converted network is: the settings of the one it was made of, as JSON holds them."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from model.interface import Engine, NetworkConfig

__all__ = ["EngineConfig", "Precision", "described"]

Precision = Literal["f32", "bf16"]
"""What is computed with.

"f32": the reference's texts, to the token. "bf16": weights and activations in bfloat16, faster
with large networks where the processor has instructions for it, or on a GPU; some texts differ.
"""


@dataclass
class EngineConfig:
    """A NetworkConfig (model/interface.py) that needs no library to be read."""

    name: str
    notice: str
    image_size: int
    vocab_size: int
    layers: int
    heads: int
    max_tokens: int
    pad_token_id: int
    bos_token_id: int
    eos_token_id: int
    views: list[str]
    images_per_study: int | None
    prompt_tokens: int
    temperature: float
    grounded_share: float | None
    answers: bool
    calibrated: list[str] | None
    ask_scale: float
    ask_offset: float
    answer_scales: dict[str, list[float]]
    assert_from: dict[str, float]
    finding_scale: float | None
    finding_offset: float
    report_words: list[str] | None
    check: dict[str, list[float]] | None
    novelty_threshold: float
    rows: int
    """Of patches on one image."""
    columns: int
    prefix: int
    """See Engine."""
    processing: dict[str, Any] | None
    """How the images of an imported checkpoint are made (model/imported/processing.py); None:
    CrossRay's own network, which reads a letterbox (model/imaging/letterbox.py)."""
    section_token_id: int | None
    """See ImportedConfig (model/imported/config.py)."""
    precision: Precision

    @property
    def grid(self) -> tuple[int, int]:
        """See Engine."""
        return self.rows, self.columns


def described(network: Engine[Any], precision: Precision) -> EngineConfig:
    """The settings of a network."""
    config: NetworkConfig = network.config
    # Those that only imported checkpoints have.
    processing = getattr(config, "processing", None)
    rows, columns = network.grid
    own: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "prefix": network.prefix,
        "processing": None if processing is None else asdict(processing),
        "section_token_id": getattr(config, "section_token_id", None),
        "precision": precision,
    }
    fields = EngineConfig.__dataclass_fields__.keys() - own.keys()
    return EngineConfig(**own, **{name: getattr(config, name) for name in fields})
