"""A dot in a file at known pixels is where a word's map has its maximum, however it was stored."""

import struct

import cv2
import numpy as np
import pytest
import torch
from dicom_files import dataset, encoded, stored_as
from tiny import tiny_model, tiny_tokenizer
from torch import Tensor, nn

from model.checkpoint_folder import ModelIdentity
from model.decoding import DecodingOptions
from model.errors import DataError
from model.generator import ReportGenerator
from model.imaging.letterbox import Letterbox
from model.imaging.read import read_image
from model.report import Report

SIZE, GRID = 64, 8
ASPECTS = [(90, 90), (64, 64), (40, 40), (200, 100), (100, 200), (333, 250), (31, 97), (640, 96)]
TOKENIZER = tiny_tokenizer()


class Brightness(nn.Module):
    """In the encoder's place: a patch's first feature is how bright it is, the others are 0."""

    width = 32
    grid = (GRID, GRID)

    def forward(self, images: Tensor) -> Tensor:
        """(images, 1, size, size) in [-1, 1] -> (images, patches, width)."""
        bright = nn.functional.avg_pool2d(images, SIZE // GRID).flatten(1) + 1
        return nn.functional.pad(bright[:, :, None], (0, self.width - 1))


@pytest.fixture(scope="module")
def write() -> ReportGenerator:
    """A real model whose every token looks at what is bright."""
    model = tiny_model(2, vocab_size=TOKENIZER.get_vocab_size(), image_size=SIZE)
    model.encoder = Brightness()
    with torch.no_grad():
        for layer in model.decoder.layers:
            look = layer.cross_attention
            look.query.weight.zero_()
            look.query.bias.fill_(1)
            look.key.weight.zero_()
            look.key.weight[:, 0] = 60
            look.key.bias.zero_()
    return ReportGenerator(model, TOKENIZER, ModelIdentity("tiny", "0" * 64))


def dotted(height: int, width: int, row: int, column: int) -> np.ndarray:
    """float64 (height, width), dark, with a dot of about a third of a patch around one pixel."""
    shown = 0.06 * (np.indices((height, width)).sum(axis=0) % 2)  # every patch as dark
    radius = max(height, width) // GRID // 6
    top, left = max(0, row - radius), max(0, column - radius)
    shown[top : row + radius + 1, left : column + radius + 1] = 1
    return shown


def places(height: int, width: int) -> list[tuple[int, int]]:
    return [(0, 0), (height - 1, width // 4), (height // 3, width - 1), (height // 2, width // 2)]


def png(shown: np.ndarray) -> bytes:
    return cv2.imencode(".png", np.rint(shown * 255).astype(np.uint8))[1].tobytes()


def dicom(shown: np.ndarray, inverted: bool = False, **more: object) -> bytes:
    stored, elements = stored_as(shown, bits=12, inverted=inverted)
    return encoded(dataset(np.ascontiguousarray(stored), **elements, **more))


def turned(shown: np.ndarray, orientation: int) -> bytes:
    """A JPEG that is stored turned, and whose EXIF tag says how to turn it back."""
    stored = {1: shown, 3: np.rot90(shown, 2), 6: np.rot90(shown), 8: np.rot90(shown, -1)}
    pixels = np.rint(stored[orientation] * 255).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, 100))[1].tobytes()
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    body = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def assert_there(report: Report, image: int, row: int, column: int) -> None:
    """Every word's map, put back on the image's own pixels, is highest within a patch of a dot,
    and that is where `looked_at` finds it."""
    assert report.words
    placement = report.placements[image]
    _, _, width, height = placement.extent()
    across, down = width / GRID, height / GRID
    for word in report.words:
        density = placement.restore(word.heatmap[image])
        assert density.shape == (placement.height, placement.width)
        y, x = np.unravel_index(density.argmax(), density.shape)
        assert abs(y - row) <= down
        assert abs(x - column) <= across
    near = (column - across, row - down, column + across, row + down)
    inside = dict(report.words_in_region(image, near))
    for place, word in enumerate(report.words):
        if word.state == "grounded":
            assert inside[place] > 0.8 * word.heatmap[image].sum()


@pytest.mark.parametrize("store", [png, dicom], ids=["PNG", "DICOM"])
@pytest.mark.parametrize(("height", "width"), ASPECTS)
def test_a_dot_is_where_the_maps_are_highest(write, height, width, store) -> None:
    for row, column in places(height, width):
        radiograph = read_image(store(dotted(height, width, row, column)))
        assert_there(write(radiograph, input_check=False), 0, row, column)


@pytest.mark.parametrize("strategy", ["beam", "sample"])
def test_however_the_text_was_chosen(write, strategy) -> None:
    radiograph = read_image(png(dotted(120, 80, 90, 10)))
    assert_there(write(radiograph, DecodingOptions(strategy), input_check=False), 0, 90, 10)


def test_where_black_is_stored_as_the_highest_value(write) -> None:
    radiograph = read_image(dicom(dotted(120, 80, 90, 10), inverted=True))
    assert_there(write(radiograph, input_check=False), 0, 90, 10)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_where_a_tag_turns_the_image(write, orientation) -> None:
    """The pixels are those of the image as it is shown."""
    radiograph = read_image(turned(dotted(160, 104, 130, 20), orientation))
    assert radiograph.pixels.shape == (160, 104)
    assert_there(write(radiograph, input_check=False), 0, 130, 20)


def on_stored(write: ReportGenerator, file: bytes) -> list[np.ndarray]:
    """The maps of a report's grounded words on the pixels of its file."""
    report = write(read_image(file), input_check=False)
    return [report.on_stored_pixels(w.heatmap) for w in report.words if w.state == "grounded"]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (["R", "F"], np.fliplr),
        (["R", "H"], lambda p: np.rot90(p, 2)),
        (["F", "L"], np.transpose),
        (["F", "R"], lambda p: np.rot90(p, 1)),
    ],
)
def test_maps_of_a_turned_file_go_back_to_its_own_pixels(write, orientation, turn) -> None:
    """They are the maps of the upright file, turned as the file is."""
    plain = dotted(160, 104, 130, 20)
    upright = on_stored(write, dicom(plain))
    maps = on_stored(write, dicom(turn(plain), PatientOrientation=orientation))
    assert len(maps) == len(upright) > 0
    for there, here in zip(maps, upright, strict=True):
        np.testing.assert_allclose(there, turn(here), atol=1e-7)


def test_maps_of_pixels_that_are_not_square_go_back_to_them(write) -> None:
    """Every second column of an image, with pixels twice as wide: its maps, two columns in one."""
    plain = dotted(160, 104, 130, 20)
    whole = on_stored(write, dicom(plain))
    maps = on_stored(write, dicom(plain[:, ::2], PixelAspectRatio=[1, 2]))
    assert len(maps) == len(whole) > 0
    for narrow, wide in zip(maps, whole, strict=True):
        assert narrow.shape == (160, 52)
        assert narrow.sum() == pytest.approx(wide.sum(), rel=0.02)
        pairs = wide[:, ::2] + wide[:, 1::2]
        assert np.abs(narrow - pairs).sum() < 0.1 * pairs.sum()


def test_a_map_of_an_image_that_is_not_there_is_refused(write) -> None:
    report = write(read_image(png(dotted(40, 40, 20, 20))), input_check=False)
    with pytest.raises(DataError, match="no image 1"):
        report.on_stored_pixels(report.words[0].heatmap, 1)


def test_on_each_of_several_images_of_other_shapes(write) -> None:
    shapes = [(90, 60, 70, 50), (50, 200, 10, 30)]
    study = [read_image(png(dotted(*shape))) for shape in shapes]
    [together, _] = write.reports([study, study[:1]], input_check=False)
    for number, (_, _, row, column) in enumerate(shapes):
        assert_there(together, number, row, column)


def test_a_box_counts_what_of_each_patch_it_covers(write) -> None:
    [report] = write.reports([[read_image(png(dotted(64, 64, 20, 20)))]], input_check=False)
    everywhere = report.words_in_region(0, (0, 0, 64, 64))
    assert [share for _, share in everywhere] == sorted((s for _, s in everywhere), reverse=True)
    assert {place for place, _ in everywhere} == {
        place for place, word in enumerate(report.words) if word.state == "grounded"
    }
    assert everywhere
    for place, share in everywhere:
        heatmap = report.words[place].heatmap[0]
        assert share == pytest.approx(heatmap.sum(), rel=1e-5)
        parts = dict(report.words_in_region(0, (4, 8, 24, 18)))
        expected = heatmap[1, 0] / 2 + heatmap[1, 1:3].sum()
        expected += (heatmap[2, 0] / 2 + heatmap[2, 1:3].sum()) / 4
        assert parts[place] == pytest.approx(expected, rel=1e-4)


def test_the_padding_of_a_wide_image_is_no_part_of_it(write) -> None:
    report = write(read_image(png(dotted(30, 120, 15, 100))), input_check=False)
    assert report.placements == (Letterbox(30, 120, SIZE),)
    whole = dict(report.words_in_region(0, (0, 0, 120, 30)))
    beyond = dict(report.words_in_region(0, (0, -60, 120, -30)))
    for place, share in whole.items():
        assert 0 < beyond[place] < 0.2 * share
