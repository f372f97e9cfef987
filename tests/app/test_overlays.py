"""What leaves CrossRay says the same as the Report it came from."""

import base64
from dataclasses import replace

import cv2
import numpy as np
import pytest
from material import REPORT

from app.api.answers import answer, encode_heatmap, encode_image
from app.overlays import jpeg, overlay, sheet, word_overlays
from model.generator import ReportGenerator
from model.imaging.letterbox import Letterbox
from model.imaging.radiograph import Radiograph
from model.report import Report


def flat(height: int, width: int, value: float = 0.5) -> Radiograph:
    return Radiograph(np.full((height, width), value, np.float32), None)


@pytest.fixture(scope="module")
def images() -> list[Radiograph]:
    return [flat(80, 64), flat(60, 120, 0.2)]


@pytest.fixture(scope="module")
def report(tiny_generator: ReportGenerator, images: list[Radiograph]) -> Report:
    """Of flat images, with every word grounded."""
    written = tiny_generator(images, input_check=False)
    words = tuple(replace(word, state="grounded") for word in written.words)
    sentences = tuple(replace(span, state="grounded") for span in written.sentences)
    return replace(written, words=words, sentences=sentences, withheld=None)


def test_the_answer_holds_the_report(report: Report) -> None:
    told = answer(report, "a notice")
    assert told.text == report.text == REPORT
    assert [w.text for w in told.words] == [w.text for w in report.words]
    for word, original in zip(told.words, report.words, strict=True):
        data = np.frombuffer(base64.b64decode(word.heatmap.data), np.uint8)
        shares = data.reshape(original.heatmap.shape) * word.heatmap.scale
        assert np.abs(shares - original.heatmap).max() <= word.heatmap.scale / 2 + 1e-9


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 16, 16)])
def test_a_heatmap_survives_its_bytes(shape: tuple[int, ...]) -> None:
    heatmap = np.random.default_rng(0).dirichlet(np.ones(np.prod(shape))).reshape(shape)
    told = encode_heatmap(heatmap)
    data = np.frombuffer(base64.b64decode(told.data), np.uint8)
    assert data.max() == 255
    assert np.allclose(data.reshape(shape) * told.scale, heatmap, atol=told.scale / 2 + 1e-9)


def test_the_sum_is_off_by_no_more_than_half_a_step_a_patch() -> None:
    """One peak and the rest spread thinly is the worst: the rest rounds to nothing."""
    heatmap = np.full((1, 16, 16), 0.2 / 255)
    heatmap[0, 3, 3] = 0.8
    told = encode_heatmap(heatmap)
    data = np.frombuffer(base64.b64decode(told.data), np.uint8)
    assert data[3 * 16 + 3] * told.scale == pytest.approx(0.8)
    assert 0 < 1 - data.sum() * told.scale <= told.scale / 2 * data.size


def test_an_empty_heatmap_is_zero() -> None:
    told = encode_heatmap(np.zeros((1, 2, 2)))
    assert told.scale == 0 and base64.b64decode(told.data) == bytes(4)


@pytest.mark.parametrize(
    ("shape", "drawn"), [((80, 64), (80, 64)), ((2048, 512), (1024, 256)), ((1, 3000), (1, 1024))]
)
def test_a_image_keeps_its_aspect(shape: tuple[int, int], drawn: tuple[int, int]) -> None:
    pixels = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    data = np.frombuffer(encode_image(pixels), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert decoded.shape == drawn and decoded.dtype == np.uint8
    assert decoded.ravel()[-1] > decoded.ravel()[0]


@pytest.mark.parametrize(("height", "width"), [(80, 64), (64, 80), (64, 64), (40, 80)])
def test_the_color_lies_where_the_attention_was(height: int, width: int) -> None:
    placement = Letterbox(height, width, 64)
    rows = columns = 8
    # The patch that holds a place at a third of the image's height and two thirds of its width.
    x, y = placement.to_model(width * 2 / 3, height / 3)
    row, column = int(y * rows / 64), int(x * columns / 64)
    heatmap = np.zeros((1, rows, columns), np.float32)
    heatmap[0, row, column] = 1.0
    drawn, plain = (
        overlay([flat(height, width)], [placement], h, 1.0, "", [""]).astype(int)
        for h in (heatmap, np.zeros_like(heatmap))
    )
    changed = np.abs(drawn - plain).sum(axis=2)
    top = drawn.shape[0] - 448
    found_y, found_x = np.unravel_index(changed.argmax(), changed.shape)
    scale = 448 / height
    where = placement.to_model((found_x + 0.5) / scale, (found_y - top + 0.5) / scale)
    assert (int(where[1] * rows / 64), int(where[0] * columns / 64)) == (row, column)


@pytest.mark.parametrize(("height", "width"), [(1, 3000), (3000, 1)])
def test_an_overlay_of_a_strip_stays_small(height: int, width: int) -> None:
    strip, placement = flat(height, width), Letterbox(height, width, 64)
    drawn = overlay([strip], [placement], np.full((1, 4, 4), 1 / 16, np.float32), 1.0, "", [""])
    assert max(drawn.shape) < 2048


def test_the_scale_is_absolute() -> None:
    """Half the attention is drawn fainter, not stretched to the same color."""
    placement = Letterbox(64, 64, 64)
    heatmap = np.zeros((1, 4, 4), np.float32)
    heatmap[0, 1, 1] = 0.4
    strong, weak, none = (
        overlay([flat(64, 64)], [placement], heatmap * factor, 0.4, "", [""]).astype(int)
        for factor in (1.0, 0.5, 0.0)
    )
    assert np.abs(strong - none).max() > np.abs(weak - none).max() > 0


def test_every_image_is_named_above_its_panel(report: Report, images: list[Radiograph]) -> None:
    """Only the line of names differs, and of it only the part above the named image."""
    given = (images, report.placements, report.words[0].heatmap, 1.0, "")
    plain, named = (overlay(*given, names).astype(int) for names in (["", ""], ["", "lateral"]))
    y, x = np.nonzero(np.abs(plain - named).sum(axis=2))
    top, first_panel = plain.shape[0] - 448, round(64 * 448 / 80)
    assert y.size and y.max() < top and top - y.min() < 30
    assert x.min() > first_panel
    told = replace(report, views=("PA", "LATERAL"), priors=(False, True))
    assert not np.array_equal(sheet(told, images), sheet(report, images))


def test_each_word_has_its_overlay(report: Report, images: list[Radiograph]) -> None:
    overlays = list(word_overlays(report, images))
    assert len(overlays) == len(report.words)
    names = [name for name, _ in overlays]
    assert names[:3] == ["001_findings.png", "002_the.png", "003_heart.png"]
    for _, data in overlays[:2]:
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None


def test_the_sheet_shows_every_sentence(report: Report, images: list[Radiograph]) -> None:
    heatmap = report.words[0].heatmap
    one_tile = overlay(images, report.placements, heatmap, 1.0, "", ["", ""]).shape[0]
    drawn = sheet(report, images)
    sentences = REPORT.count(". ") + 1
    assert drawn.shape[0] // one_tile == sentences + 1


def test_a_sheet_s_file_looks_like_the_sheet(report: Report, images: list[Radiograph]) -> None:
    drawn = sheet(report, images)
    read = cv2.imdecode(np.frombuffer(jpeg(drawn), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(read.astype(int) - drawn).mean() < 1.5
