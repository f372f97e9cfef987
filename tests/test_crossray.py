"""The public Python interface: lazy, complete, typed, and documented by examples that run."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from paths import ROOT
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel

import crossray
from model import errors
from model.generator import EMBEDDED

SAMPLE = ROOT / "app" / "static" / "samples" / "left-effusion.png"
LARGE = ("torch", "transformers", "numpy", "cv2", "pydicom", "fastapi")


def test_importing_it_loads_no_large_library() -> None:
    code = f"import sys, crossray; print([name for name in {LARGE} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_every_name_is_the_one_of_its_module() -> None:
    for name, module in crossray._MODULES.items():
        assert getattr(crossray, name) is getattr(import_module(module), name)
    assert {*crossray.__all__} >= {*crossray._MODULES, *errors.__all__}
    assert all(hasattr(crossray, name) for name in crossray.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = crossray.nothing


def test_type_checkers_see_the_names_that_are_loaded_later() -> None:
    tree = ast.parse(Path(crossray.__file__).read_text("utf-8"))
    [typed] = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == crossray._MODULES
    assert Path(crossray.__file__).with_name("py.typed").exists()


def test_a_path_may_be_a_string_and_content_bytes() -> None:
    by_path = crossray.read_image(str(SAMPLE))
    by_content = crossray.read_image(SAMPLE.read_bytes())
    assert (by_path.pixels == by_content.pixels).all()
    with pytest.raises(crossray.ImageTooLarge):
        crossray.read_image(SAMPLE, crossray.ReadLimits(max_pixels=100))


@pytest.mark.parametrize("page", ["README.md", "docs/reference/python.md"])
def test_the_python_that_documents_it_runs(page: str, monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / page).read_text("utf-8")
    fenced = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    python = "\n".join(fenced)
    assert "crossray.load(" in python
    exec(compile(python, page, "exec"), {})
    assert "effusion" in capsys.readouterr().out


@pytest.mark.parametrize(
    "folder", [EMBEDDED, EMBEDDED.parent / "views"], ids=lambda path: path.name
)
def test_transformers_writes_the_same_report(folder: Path) -> None:
    generator = crossray.load(folder, engine="torch")
    image = crossray.read_image(SAMPLE)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for model in (
        AutoModel.from_pretrained(folder),
        crossray.ReportModel.from_pretrained(folder),
    ):
        again = crossray.ReportGenerator(model, tokenizer, generator.identity)
        ours, theirs = generator(image), again(image)
        assert theirs.text == ours.text
        for word, same in zip(ours.words, theirs.words, strict=True):
            assert (word.heatmap == same.heatmap).all()
            assert (word.probability, word.evidence) == (same.probability, same.evidence)


def test_transformers_knows_the_config() -> None:
    config = AutoConfig.from_pretrained(EMBEDDED)
    assert isinstance(config, crossray.ReportConfig)
