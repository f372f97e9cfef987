"""What many tests share: a tiny real model, and radiographs with a patient's data in them."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from material import NOTICE, PATIENT, PROMPT_TOKENS, REPORT, chest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from app.cli import main as cli
from data_prep.tokenizer import train_tokenizer
from model.checkpoint import save_checkpoint
from model.config import ReportConfig
from model.generator import ReportGenerator
from model.interface import VIEWS
from model.network import ReportModel

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted checkpoints of this session's tests; children of the tests find them too."""
    folder = tmp_path_factory.mktemp("engine_cache")
    os.environ["CROSSRAY_CACHE"] = str(folder)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak",
        type=int,
        nargs="?",
        const=50_000,
        default=0,
        metavar="FILES",
        help="run the long form of tests/soak, with so many spoilt files (hours)",
    )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable:
    """`run("report", path...)` -> (exit status, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["crossray", *map(str, arguments)])
        # The process's log would stay configured for the other tests.
        monkeypatch.setattr("app.logs.configure_logging", lambda **_: None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return call


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR's program takes seconds to start, and has tests of its own."""
    monkeypatch.setenv("PATH", "")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of a real model, small enough to train on one sentence in a second."""
    return _checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def worded_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of a model whose every word is one token."""
    return _checkpoint(tmp_path_factory.mktemp("worded") / "checkpoint", vocabulary=340)


@pytest.fixture(scope="session")
def seeing_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of a model that reads every view, earlier images, and indications.

    All its words are grounded, so that there are maps.
    """
    folder = tmp_path_factory.mktemp("seeing") / "checkpoint"
    changes = {"views": list(VIEWS), "prompt_tokens": PROMPT_TOKENS, "grounded_share": 0.0}
    return _checkpoint(folder, **changes)


def _checkpoint(folder: Path, vocabulary: int = 320, **changes: Any) -> Path:
    torch.manual_seed(0)
    tokenizer = train_tokenizer([REPORT], vocab_size=vocabulary)
    tokens = tokenizer.encode(REPORT).ids
    config = ReportConfig(
        name="crossray-tiny",
        notice=NOTICE,
        encoder="vit_tiny_patch16_224",
        encoder_arguments={"embed_dim": 32, "depth": 1, "num_heads": 2},
        image_size=64,
        vocab_size=tokenizer.get_vocab_size(),
        width=48,
        layers=1,
        heads=2,
        dropout=0.0,
        max_tokens=len(tokens) + 8,
        **changes,
    )
    model = ReportModel(config)
    _learn_by_heart(model, torch.tensor([[config.bos_token_id, *tokens, config.eos_token_id]]))
    save_checkpoint(folder, model, tokenizer, {"purpose": "tests"}, "# crossray-tiny\n")
    return folder


def _learn_by_heart(model: ReportModel, tokens: torch.Tensor) -> None:
    size = model.config.image_size
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for step in range(60):
        images = torch.rand(2, 1, 1, size, size) * 2 - 1
        twice = tokens.expand(2, -1)
        # Whatever the indication says, where the model reads one.
        given = tokens[:, 5 : 5 + min(model.config.prompt_tokens, step % 7)].expand(2, -1)
        memory = model.encode(images, prompt=given)
        loss = torch.nn.functional.cross_entropy(
            model(decoder_input_ids=twice[:, :-1], encoder_outputs=memory).logits.flatten(0, 1),
            twice[:, 1:].flatten(),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


@pytest.fixture(scope="session")
def tiny_generator(tiny_checkpoint: Path) -> ReportGenerator:
    return ReportGenerator.load(tiny_checkpoint)


@pytest.fixture(scope="session")
def seeing_generator(seeing_checkpoint: Path) -> ReportGenerator:
    return ReportGenerator.load(seeing_checkpoint)


@pytest.fixture(scope="session")
def make_dicom() -> Callable[..., bytes]:
    """`make_dicom(pixels, Keyword=value...)`: a radiograph's DICOM file with a patient's data."""

    def make(pixels: np.ndarray | None = None, **elements: object) -> bytes:
        stored = chest().astype(int) * 16 if pixels is None else pixels
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        values = {
            "SOPClassUID": ComputedRadiographyImageStorage,
            "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1",
            "Modality": "CR",
            "ViewPosition": "PA",
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": stored.shape[0],
            "Columns": stored.shape[1],
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
            "PixelData": stored.astype("<u2").tobytes(),
        }
        for keyword, value in {**values, **PATIENT, **elements}.items():
            setattr(ds, keyword, value)
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def make_png() -> Callable[..., bytes]:
    """`make_png(seed, height, width)`: an 8 bit gray image of a chest."""

    def make(seed: int = 0, height: int = 80, width: int = 64) -> bytes:
        return cv2.imencode(".png", chest(seed, height, width))[1].tobytes()

    return make
