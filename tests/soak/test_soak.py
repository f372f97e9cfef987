"""Thousands of spoilt files and killed batches. `pytest tests/soak --soak` runs the long form.

`--soak=5000` takes so many files.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from batch_output import rows
from dicom_files import LOSSLESS, LOSSY, NATIVE, dataset, encoded, image, stored_as
from fastapi.testclient import TestClient
from material import chest, put
from mutations import mutated
from paths import ROOT
from pydicom import uid
from tqdm import tqdm

from app.main import create_app
from app.settings import Settings
from model.generator import ReportGenerator

ANSWERS = {201, 413, 415, 422}
SECONDS = 20
SHORT = 60


@pytest.fixture
def files(request: pytest.FixtureRequest) -> int:
    count: int = request.config.getoption("--soak")
    return count or SHORT


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return 25 if request.config.getoption("--soak") else 2


def seeds() -> list[bytes]:
    """A radiograph in every encoding that is read."""
    small = chest(0, 48, 40)
    images = [cv2.imencode(ending, small)[1].tobytes() for ending in (".png", ".jpg")]
    images.append(cv2.imencode(".png", small.astype(np.uint16) * 257)[1].tobytes())
    return images + [_dicom(syntax) for syntax in (*NATIVE, *LOSSLESS, *LOSSY)]


def _dicom(syntax: uid.UID) -> bytes:
    stored, elements = stored_as(image(), bits=8 if syntax == uid.JPEGBaseline8Bit else 12)
    return encoded(dataset(stored, **elements), syntax)


@pytest.mark.timeout(0)
def test_no_spoilt_file_is_more_than_refused(tiny_generator: ReportGenerator, files: int) -> None:
    """No death, no 500, none longer than the limit; what was refused says why."""
    originals = seeds()
    slowest, refused = 0.0, 0
    with TestClient(create_app(Settings(), tiny_generator)) as client:
        for number in tqdm(range(files), unit="file", disable=None):
            start = time.monotonic()
            sent = {"files": mutated(originals, number)}
            response = client.post("/v1/reports?input_check=false", files=sent)
            slowest = max(slowest, time.monotonic() - start)
            assert response.status_code in ANSWERS, f"file {number}: {response.text}"
            if response.status_code != 201:
                refused += 1
                assert response.json()["detail"], f"file {number}"
        assert client.get("/readyz").status_code == 200
    assert 0 < refused < files
    # In the short form a busy machine may be late.
    assert slowest < SECONDS or files == SHORT
    sys.stdout.write(f"{files} files, {refused} refused, slowest {slowest:.2f} s\n")


@pytest.mark.timeout(0)
def test_killed_batches_lose_and_double_nothing(
    tmp_path: Path, tiny_checkpoint: Path, make_png: Callable[..., bytes], kills: int
) -> None:
    studies = 16 * kills
    source = put(tmp_path / "in", {f"{n}.png": make_png(n) for n in range(studies)})
    out = tmp_path / "out"
    code = "from app.cli.main import main; main()"
    command = [sys.executable, "-c", code, "batch", str(source), "-o", str(out)]
    command += ["--model", str(tiny_checkpoint), "--batch-size=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for kill in range(1, kills + 1):
        finished = _finished(out)
        wanted = studies * kill // (kills + 1)
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and len(_finished(out)) < wanted:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert finished.items() <= _finished(out).items()  # none was done again
    subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=True)
    done = rows(out)
    assert [row["status"] for row in done] == ["done"] * studies
    assert sorted(row["sources"] for row in done) == sorted(f"./{n}.png" for n in range(studies))
    reports = list(out.glob("studies/*/report.json"))
    assert {path.parent.name for path in reports} == {row["study"] for row in done}
    assert all(json.loads(path.read_text())["text"] for path in reports)
    assert not list(out.rglob(".partial-*"))


def _finished(out: Path) -> dict[str, int]:
    """When each study's record was written."""
    return {path.stem: path.stat().st_mtime_ns for path in out.glob("records/[!.]*.json")}
