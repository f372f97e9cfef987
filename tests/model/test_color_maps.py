"""Page and PNGs have one set of color maps: matplotlib's."""

import base64
import re

import matplotlib
import numpy as np
import pytest
from paths import ROOT

from model.color_maps import INFERNO

SCRIPT = (ROOT / "app" / "static" / "colormaps.js").read_text("utf-8")


def matplotlibs(name: str) -> np.ndarray:
    return matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]


def test_the_pngs_inferno_is_matplotlibs() -> None:
    np.testing.assert_array_equal(INFERNO, matplotlibs("inferno"))


@pytest.mark.parametrize("name", ["inferno", "viridis", "cividis"])
def test_the_pages_tables_are_matplotlibs(name: str) -> None:
    [table] = re.findall(rf"  {name}: \{{.*?table:(.*?),\n  \}}", SCRIPT, re.DOTALL)
    content = base64.b64decode("".join(re.findall(r'"([^"]+)"', table)))
    np.testing.assert_array_equal(
        np.frombuffer(content, np.uint8).reshape(256, 3), matplotlibs(name)
    )
