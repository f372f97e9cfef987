"""Which engine is taken, and its cache: whole or absent, tested, never trusted when damaged."""

import json
import logging
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from material import SAMPLE
from paths import ROOT
from published import published

from model.checkpoint import load_checkpoint
from model.engine import convert, load, runtime
from model.engine.cache import cache_folder, entry_folder
from model.engine.entry import SelfTestFailed
from model.engine.load import (
    EngineOptions,
    anatomy_parts,
    engine_name,
    load_engine,
    network_parts,
    precision_name,
)
from model.engine.openvino_engine import OpenVinoEngine
from model.engine.runtime import has_bfloat16
from model.engine.self_test import SelfTest
from model.engine.sources import source_of
from model.errors import CheckpointError, ConfigError
from model.generator import EMBEDDED, ReportGenerator
from model.imaging.read import read_image
from model.imported.export import export
from model.loading import read_published
from model.network import ReportModel

SHIPPED = ("default", "phantom", "views")


@pytest.fixture
def empty_cache(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing in it but the anatomy network, whose conversion takes long."""
    return copied(monkeypatch, tmp_path / "cache", tiny_checkpoint, [anatomy_parts()])


@pytest.fixture
def tiny_cache(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny checkpoint and the anatomy network are converted."""
    parts = [anatomy_parts(), network_parts(source_of(tiny_checkpoint), "f32")]
    return copied(monkeypatch, tmp_path / "cache", tiny_checkpoint, parts)


def copied(
    monkeypatch: pytest.MonkeyPatch, cache: Path, checkpoint: Path, parts: list[dict[str, str]]
) -> Path:
    """A cache with some entries of the session's."""
    engine_of(checkpoint)
    entries = [entry_folder(each) for each in parts]
    monkeypatch.setenv("CROSSRAY_CACHE", str(cache))
    for entry, each in zip(entries, parts, strict=True):
        shutil.copytree(entry, entry_folder(each))
    return cache


def networks(cache: Path, name: str = "record.json") -> list[Path]:
    """Files of converted checkpoints."""
    return [path for path in cache.rglob(name) if (path.parent / "decoder.bin").exists()]


def engine_of(folder: Path | str, name: str = "auto", device: str = "cpu") -> object:
    return load_engine(folder, EngineOptions(engine_name(name), device, 1)).engine


@pytest.mark.parametrize("name", SHIPPED)
def test_the_same_report_of_every_shipped_checkpoint(name: str) -> None:
    folder = EMBEDDED.parent / name
    image = read_image(SAMPLE)
    written = []
    for engine in ("torch", "openvino"):
        generator = ReportGenerator.load(folder, engine=engine)
        written.append((generator(image), generator.ask(image, "left pleural effusion")))
    (expected, answer), (found, own) = written
    assert found.text == expected.text
    assert [word.state for word in found.words] == [word.state for word in expected.words]
    for one, other in zip(found.words, expected.words, strict=True):
        np.testing.assert_allclose(one.heatmap, other.heatmap, atol=1e-5)
        assert one.probability == pytest.approx(other.probability, abs=1e-4)
        assert one.evidence == pytest.approx(other.evidence, abs=1e-3)
    assert [f.name for f in found.findings] == [f.name for f in expected.findings]
    assert (found.review, found.warnings, found.model) == (
        expected.review,
        expected.warnings,
        expected.model,
    )
    assert (own.matches, own.text) == (answer.matches, answer.text)
    assert own.probability == pytest.approx(answer.probability, abs=1e-4)


@pytest.mark.parametrize("name", ["default", "views"])
def test_calls_at_the_same_time_give_what_one_after_another_gives(name: str) -> None:
    images = [read_image(path) for path in sorted(SAMPLE.parent.glob("*.png"))]
    generator = ReportGenerator.load(EMBEDDED.parent / name, engine="openvino", threads=2)
    expected = [generator(image) for image in images]
    with ThreadPoolExecutor(2 * generator.model.callers) as pool:
        found = list(pool.map(generator, [*images, *images]))
    for one, other in zip(found, expected * 2, strict=True):
        assert one.text == other.text
        for word, of_other in zip(one.words, other.words, strict=True):
            assert (word.heatmap == of_other.heatmap).all()
            assert (word.probability, word.evidence) == (of_other.probability, of_other.evidence)


def test_it_is_converted_once(
    tiny_checkpoint: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(engine_of(tiny_checkpoint), OpenVinoEngine)
    [record] = networks(empty_cache)
    told = json.loads(record.read_text("utf-8"))
    assert not SelfTest(**told["self_test"]).failures
    assert told["self_test"]["tokens"] > 30
    assert not list(empty_cache.rglob(".part-*"))
    monkeypatch.setattr(convert, "convert_network", _never)
    assert isinstance(engine_of(tiny_checkpoint), OpenVinoEngine)


def _never(network: ReportModel, precision: str) -> None:
    raise AssertionError("converted again")


def test_a_damaged_cache_is_made_anew_and_says_so(
    tiny_checkpoint: Path, tiny_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """tests/model/engine/test_cache.py damages every file in every way."""
    engine_of(tiny_checkpoint)
    [path] = tiny_cache.rglob("decoder.bin")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with caplog.at_level(logging.WARNING, "crossray"):
        assert isinstance(engine_of(tiny_checkpoint), OpenVinoEngine)
    assert "damaged" in caplog.text and "made anew" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "crossray"):
        engine_of(tiny_checkpoint)
    assert not caplog.text, "the new entry is whole"


def test_another_calibration_is_another_entry(
    tiny_checkpoint: Path, tiny_cache: Path, tmp_path: Path
) -> None:
    """The weights are the same; what the engine knows of them is not."""
    from model.checkpoint import save_checkpoint

    model, tokenizer, _ = load_checkpoint(tiny_checkpoint)
    model.config.temperature = 1.5
    save_checkpoint(tmp_path / "warm", model, tokenizer, {}, "")
    engines = [engine_of(folder) for folder in (tiny_checkpoint, tmp_path / "warm")]
    assert [engine.config.temperature for engine in engines] == [1.0, 1.5]
    assert len(networks(tiny_cache)) == 2


def test_a_cache_that_cannot_be_written_is_said(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CROSSRAY_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, "crossray"):
        assert isinstance(engine_of(tiny_checkpoint), OpenVinoEngine)
    assert "cannot be kept" in caplog.text and "CROSSRAY_CACHE" in caplog.text


def test_a_conversion_that_fails_its_test_is_not_used(
    tiny_checkpoint: Path,
    empty_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def wrong(network: ReportModel, precision: str) -> None:
        raise SelfTestFailed("OpenVINO does not compute what PyTorch does: attention 0.5")

    monkeypatch.setattr(convert, "convert_network", wrong)
    with caplog.at_level(logging.WARNING, "crossray"):
        assert isinstance(engine_of(tiny_checkpoint), ReportModel)
    assert "attention 0.5: PyTorch computes instead" in caplog.text
    assert not networks(empty_cache)
    monkeypatch.setattr(convert, "convert_network", _never)
    with pytest.raises(ConfigError, match=r"cannot run .*attention 0\.5, found before") as told:
        engine_of(tiny_checkpoint, "openvino")
    place = entry_folder(network_parts(source_of(tiny_checkpoint), "f32"))
    assert f"remove {str(place)!r} to try again" in str(told.value)
    monkeypatch.setattr("model.engine.load.version", lambda name: "another")
    with pytest.raises(AssertionError, match="converted again"):
        engine_of(tiny_checkpoint)


def test_the_order_of_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROSSRAY_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("CROSSRAY_CACHE")
    assert cache_folder() == Path("/b/crossray")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "crossray"


def test_what_openvino_cannot_do_is_done_by_torch_or_refused(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="not on 'meta'; use --engine auto"):
        engine_of(tiny_checkpoint, "openvino", "meta")
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        engine_of(tmp_path, "openvino")
    with pytest.raises(ConfigError, match="engine cannot be 'abacus'"):
        engine_of(tiny_checkpoint, "abacus")
    monkeypatch.setattr(load, "_installed", lambda _: False)
    assert isinstance(engine_of(tiny_checkpoint), ReportModel)
    with pytest.raises(ConfigError, match="it is not installed"):
        engine_of(tiny_checkpoint, "openvino")


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_reduced_precision_is_an_entry_of_its_own_and_near(
    tiny_checkpoint: Path, tiny_cache: Path
) -> None:
    exact = engine_of(tiny_checkpoint)
    options = EngineOptions("auto", "cpu", 1, precision_name("bf16"))
    reduced = load_engine(tiny_checkpoint, options).engine
    assert isinstance(exact, OpenVinoEngine) and isinstance(reduced, OpenVinoEngine)
    assert (exact.config.precision, reduced.config.precision) == ("f32", "bf16")
    records = [json.loads(path.read_text("utf-8")) for path in networks(tiny_cache)]
    [test] = [r["self_test"] for r in records if r["config"]["precision"] == "bf16"]
    assert 0 < test["divergence"] <= test["allowed_divergence"]
    for wrong in ({"divergence": 2 * test["allowed_divergence"]}, {"attention": 0.1}):
        assert SelfTest(**{**test, **wrong}).failures


def test_a_precision_that_cannot_be_is_refused(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="precision cannot be 'f16': name one of f32, bf16"):
        precision_name("f16")
    monkeypatch.setattr(runtime, "has_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match=r"no instructions for bfloat16.*--precision f32"):
        load_engine(tiny_checkpoint, EngineOptions("auto", "cpu", 1, "bf16"))


def test_bfloat16_in_pytorch_reports(tiny_checkpoint: Path) -> None:
    generator = ReportGenerator.load(tiny_checkpoint, engine="torch", precision="bf16")
    network = generator.model
    assert isinstance(network, ReportModel) and network.dtype == torch.bfloat16
    assert network.feature_precision.dtype == torch.float32
    image = read_image(SAMPLE)
    report = generator(image)
    assert report.text and all(np.isfinite(word.heatmap).all() for word in report.words)
    assert all(0 < word.probability <= 1 for word in report.words)


LARGE = ("torch", "torchvision", "timm", "transformers", "fastapi")
COLD = f"""
import sys
from app.cli.main import main
sys.argv = {{arguments!r}}
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print([name for name in {LARGE} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    published(folder / "published", "vit", "gpt2")
    export(read_published(folder / "published"), folder / "imported")
    return folder / "imported"


@pytest.mark.parametrize(
    ("command", "checkpoint"),
    [("report", "tiny_checkpoint"), ("batch", "tiny_checkpoint"), ("report", "imported")],
)
def test_a_cold_command_loads_no_torch(
    command: str, checkpoint: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(checkpoint)
    engine_of(folder)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.png").write_bytes(SAMPLE.read_bytes())
    given = {
        "report": [str(SAMPLE), "--heatmaps", str(tmp_path / "maps")],
        "batch": [str(tmp_path / "in"), "-o", str(tmp_path / "out")],
    }[command]
    arguments = ["crossray", command, *given, "--model", str(folder)]
    ended = subprocess.run(
        [sys.executable, "-c", COLD.format(arguments=arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    last = ended.stderr.splitlines()[-1]
    assert last == "[]", ended.stderr
