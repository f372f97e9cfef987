"""What a converted network is: the settings of the one it was made of, as JSON holds them."""

from dataclasses import dataclass
from typing import Literal

from model.interface import NetworkConfig

__all__ = ["EngineConfig", "Precision", "described"]

Precision = Literal["f32", "int8", "bf16"]
"""What is computed with.

"f32": the reference's texts, to the token. "int8": the decoder's weights in 8 bits, a scale and a
zero point for each row, its activations in float32; images in bfloat16, where the processor has it;
of OpenVINO alone. "bf16": weights and activations in bfloat16, of PyTorch alone, meant for GPUs:
OpenVINO's steps were right, but of several tokens at once the attention was not (off by 0.9,
2026.4).
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
    precision: Precision

    @property
    def grid(self) -> tuple[int, int]:
        """See Engine."""
        return self.rows, self.columns


def described(config: NetworkConfig, grid: tuple[int, int], precision: Precision) -> EngineConfig:
    """The settings of a network."""
    own = ("rows", "columns", "precision")
    names = [name for name in EngineConfig.__dataclass_fields__ if name not in own]
    fields = {name: getattr(config, name) for name in names}
    return EngineConfig(**fields, rows=grid[0], columns=grid[1], precision=precision)
