"""Vision models of transformers in a checkpoint: a config that describes none is refused."""

import pytest

from model.config import ReportConfig
from model.errors import ConfigError
from model.network import ReportModel
from model.vision import VISION_MODELS
from model.vision_values import VISION_TYPES


def test_a_checkpoint_with_a_vision_model_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="model_type 'evil'"):
        ReportModel(ReportConfig(vision={"model_type": "evil"}))
    with pytest.raises(ConfigError, match="cannot make"):
        ReportModel(ReportConfig(vision={"model_type": "vit", "hidden_act": 3}))


def test_the_types_known_without_pytorch_are_those_that_are_read() -> None:
    assert tuple(VISION_MODELS) == VISION_TYPES
