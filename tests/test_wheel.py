"""The wheel works by itself, from an empty folder: `crossray report` and `crossray serve`."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from paths import ROOT

PACKAGES = ("crossray", "app", "model", "training", "data_prep")
SAMPLE = Path("app/static/samples/left-effusion.png")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools writes into the source tree. The sdist is made first."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source]
    answer = subprocess.run(build, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
    [found] = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files alone; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", folder, wheel], check=True, capture_output=True)
    return folder


@pytest.fixture
def environment(installed: Path, tmp_path: Path, monkeypatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return {**os.environ, "PYTHONPATH": str(installed), "NO_ALBUMENTATIONS_UPDATE": "1"}


def test_it_holds_every_file_of_the_packages(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if not tracked:
        pytest.skip("not a git clone, so what belongs to it is unknown")
    assert {*tracked} <= {*zipfile.ZipFile(wheel).namelist()}


def test_its_metadata_says_what_it_is(wheel: Path) -> None:
    [name] = [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".dist-info/METADATA")]
    metadata = zipfile.ZipFile(wheel).read(name).decode()
    assert "Author: CrossRay maintainers" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert "Classifier: Typing :: Typed" in metadata


def test_it_writes_a_report(installed: Path, environment: dict[str, str]) -> None:
    command = [installed / "bin" / "crossray", "report", installed / SAMPLE]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "left pleural effusion" in answer.stdout
    where = [sys.executable, "-c", "import crossray, model; print(model.__file__)"]
    found = subprocess.run(where, env=environment, capture_output=True, text=True).stdout
    assert found.startswith(str(installed))


@pytest.fixture
def address(installed: Path, environment: dict[str, str]) -> Iterator[str]:
    command = [installed / "bin" / "crossray", "serve", "--port", "0"]
    service = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert service.stdout is not None
    try:
        lines = iter(service.stdout.readline, "")
        found = next(match for line in lines if (match := re.search(r"http://[\d.:]+/", line)))
        while not _ready(found[0]):
            time.sleep(0.2)
        yield found[0]
    finally:
        service.terminate()
        service.communicate(timeout=60)


def _ready(address: str) -> bool:
    """Whether the model is loaded; pytest's own time limit ends a wait in vain."""
    try:
        return bool(urlopen(f"{address}readyz").status == 200)
    except HTTPError as answer:
        assert answer.code == 503
        return False


def test_it_serves_the_page_and_the_api(address: str, installed: Path) -> None:
    assert "<title>CrossRay" in urlopen(address).read().decode()
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body += (installed / SAMPLE).read_bytes() + b"\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = json.load(urlopen(Request(f"{address}v1/reports", body, kind)))
    assert "left pleural effusion" in answer["text"]
