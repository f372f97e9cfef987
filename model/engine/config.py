"""What a converted network is: the settings of the one it was made of, as JSON holds them."""

from dataclasses import dataclass

from model.interface import NetworkConfig

__all__ = ["EngineConfig", "described"]


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

    @property
    def grid(self) -> tuple[int, int]:
        """See Engine."""
        return self.rows, self.columns


def described(config: NetworkConfig, grid: tuple[int, int]) -> EngineConfig:
    """The settings of a network."""
    fields = {
        name: getattr(config, name)
        for name in EngineConfig.__dataclass_fields__
        if name not in ("rows", "columns")
    }
    return EngineConfig(**fields, rows=grid[0], columns=grid[1])
