"""The command `crossray`: what it prints, writes and refuses."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from fastapi.testclient import TestClient
from material import NOTICE, REPORT
from paths import ROOT
from prepared_folder import write_prepared, write_settings

from app.main import create_app
from app.settings import Settings
from data_prep.phantom.prepare import LARGEST, SMALLEST
from model.checkpoint import load_checkpoint
from model.generator import ReportGenerator

COMMANDS = [
    "report",
    "batch",
    "serve",
    "prepare",
    "prepare phantom",
    "train",
    "evaluate",
    "grounding",
]


@pytest.fixture
def image(tmp_path: Path, make_dicom: Callable) -> Path:
    path = tmp_path / "frontal.dcm"
    path.write_bytes(make_dicom())
    return path


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(run: Callable, command: str) -> None:
    status, out, _ = run(*command.split(), "--help")
    assert status == 0
    assert "Usage:" in out and len(out) > 200


def test_help_does_not_load_the_model() -> None:
    code = (
        "import sys; sys.argv = ['crossray', '--help']\n"
        "from app.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'fastapi', 'cv2', 'pydicom'} & set(sys.modules), 'heavy'"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_report_for_the_terminal(run: Callable, image: Path, tiny_checkpoint: Path) -> None:
    status, out, err = run("report", image, "--model", tiny_checkpoint)
    assert (status, err) == (0, "")
    words = " ".join(out.split())
    assert "Findings The heart is normal in size." in words
    assert "Impression No acute cardiopulmonary abnormality." in words
    assert NOTICE in words


@pytest.mark.parametrize("maps", ["grounded", "all"])
def test_the_json_is_the_apis_answer(
    run: Callable,
    maps: str,
    image: Path,
    tmp_path: Path,
    tiny_checkpoint: Path,
    tiny_generator: ReportGenerator,
    make_png: Callable,
) -> None:
    other = tmp_path / "lateral.png"
    other.write_bytes(make_png())
    status, out, _ = run(
        *("report", image, other, "--json", "--maps", maps),
        *("--model", tiny_checkpoint, "--engine", "torch"),
    )
    parts = [("files", ("x", path.read_bytes())) for path in (image, other)]
    client = TestClient(create_app(Settings(), tiny_generator))
    assert status == 0
    assert json.loads(out) == client.post(f"/v1/reports?maps={maps}", files=parts).json()


def test_heatmaps_are_one_overlay_a_word(
    run: Callable, image: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    maps = tmp_path / "new" / "maps"
    status, _, _ = run("report", image, "--heatmaps", maps, "--model", tiny_checkpoint)
    assert status == 0
    names = sorted(path.name for path in maps.iterdir())
    assert names[0] == "000_report.png" and names[3] == "003_heart.png"
    assert len(names) == len(REPORT.split()) + 1
    assert all(cv2.imread(str(maps / name)) is not None for name in names)


def test_beams_change_how_not_what_of_a_sure_model(
    run: Callable, image: Path, tiny_checkpoint: Path
) -> None:
    outputs = [
        run("report", image, "--json", "--beams", beams, "--model", tiny_checkpoint)
        for beams in (1, 3)
    ]
    assert [json.loads(out)["text"] for _, out, _ in outputs] == [REPORT, REPORT]


def test_overlays_of_two_reports_do_not_mix(
    run: Callable, image: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    maps = tmp_path / "maps"
    arguments = ("report", image, "--heatmaps", maps, "--model", tiny_checkpoint)
    status, _, err = run(*arguments)
    assert status == 0 and f"{len(list(maps.iterdir()))} overlays" in err
    before = {path.name: path.stat().st_mtime_ns for path in maps.iterdir()}
    status, out, err = run(*arguments[:-1], tmp_path / "never loaded")
    assert (status, out) == (2, "") and "an earlier report" in err
    assert {path.name: path.stat().st_mtime_ns for path in maps.iterdir()} == before


def test_a_folder_is_the_batchs_matter(run: Callable, tmp_path: Path) -> None:
    status, _, err = run("report", tmp_path)
    assert status == 2 and "crossray batch" in err


def test_a_lateral_view_is_refused(
    run: Callable, image: Path, tmp_path: Path, tiny_checkpoint: Path, make_dicom: Callable
) -> None:
    lateral = tmp_path / "side.dcm"
    lateral.write_bytes(make_dicom(ViewPosition="LL"))
    status, out, err = run("report", image, lateral, "--model", tiny_checkpoint)
    assert (status, out) == (2, "") and "lateral" in err


def test_views_a_prior_and_an_indication_are_the_apis(
    run: Callable,
    image: Path,
    tmp_path: Path,
    seeing_checkpoint: Path,
    seeing_generator: ReportGenerator,
    make_png: Callable,
) -> None:
    side, old = tmp_path / "side.png", tmp_path / "old.png"
    side.write_bytes(make_png(1))
    old.write_bytes(make_png(2))
    given = ["--lateral", side, "--prior", old, "--indication", "The lungs."]
    model = ["--model", seeing_checkpoint, "--engine", "torch"]
    client = TestClient(create_app(Settings(), seeing_generator))
    parts = [("files", ("x", path.read_bytes())) for path in (image, side)]
    parts += [("priors", ("x", old.read_bytes()))]
    parts += [(name, (None, text)) for name, text in (("views", b""), ("views", b"LATERAL"))]
    parts += [("indication", (None, b"The lungs."))]
    status, out, _ = run("report", image, *given, "--json", *model)
    assert status == 0
    assert json.loads(out) == client.post("/v1/reports", files=parts).json()
    status, out, _ = run("ask", image, "effusion", *given, "--json", *model)
    assert status == 0
    parts += [("phrase", (None, b"effusion"))]
    assert json.loads(out) == client.post("/v1/questions", files=parts).json()
    status, out, _ = run("report", image, *given, *model, "--heatmaps", tmp_path / "maps")
    words = " ".join(out.split())
    assert status == 0
    assert "Images 1 PA, 2 lateral, 3 prior" in words and "Indication The lungs." in words
    sheet = cv2.imread(str(tmp_path / "maps" / "000_report.png"))
    assert sheet.shape[1] > 3 * round(64 * 448 / 80)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--lateral", "{png}"), "image 2: lateral view: this model reads frontal views"),
        (("--lateral", "{dicom}"), "its header says PA and its sender LATERAL"),
        (("--prior", "{png}"), "image 2: image of an earlier study: this model reads frontal"),
        (("--indication", "Cough"), "trained without, leave it out"),
    ],
)
def test_what_the_model_does_not_read_is_one_line(
    run: Callable,
    image: Path,
    tmp_path: Path,
    tiny_checkpoint: Path,
    make_png: Callable,
    given: tuple[str, str],
    told: str,
) -> None:
    (tmp_path / "other.png").write_bytes(make_png(1))
    option, value = given
    value = value.format(png=tmp_path / "other.png", dicom=image)
    status, out, err = run("report", image, option, value, "--model", tiny_checkpoint)
    [line] = err.splitlines()
    assert (status, out) == (2, "") and told in line and "Cough" not in line


def test_a_batch_takes_indications(
    run: Callable, tmp_path: Path, seeing_checkpoint: Path, make_dicom: Callable
) -> None:
    source, given = tmp_path / "in", tmp_path / "given.csv"
    source.mkdir()
    (source / "a.dcm").write_bytes(make_dicom())
    given.write_text("study,indication\na.dcm,The lungs.\nQuillfeather,Cough\n")
    arguments = ("batch", source, "-o", tmp_path / "out", "--model", seeing_checkpoint)
    status, _, err = run(*arguments, "--indications", given)
    assert status == 0 and "belong to no study: 3" in err and "Quillfeather" not in err
    [path] = (tmp_path / "out").rglob("report.json")
    assert json.loads(path.read_text())["indication"] == "The lungs."
    status, _, err = run(*arguments, "--indications", tmp_path / "absent.csv")
    assert status == 2 and "there is no table" in err


@pytest.mark.parametrize("size", [SMALLEST - 1, LARGEST + 1])
def test_a_size_that_cannot_be_drawn_is_wrong_usage(
    run: Callable, tmp_path: Path, size: int
) -> None:
    arguments = ("--studies", 1, "--seed", 1, "--size", size)
    status, _, err = run("prepare", "phantom", tmp_path / "made", *arguments)
    assert status == 2 and "Usage:" in err
    assert f"{SMALLEST}<=x<={LARGEST}" in err


def test_preparing_says_what_was_made(run: Callable, tmp_path: Path) -> None:
    arguments = ("--studies", 20, "--seed", 1, "--size", 64, "--workers", 1)
    status, out, _ = run("prepare", "phantom", tmp_path / "made", *arguments)
    known = json.loads((tmp_path / "made" / "prepared.json").read_text())
    assert status == 0
    assert str(tmp_path / "made") in out and known["manifest_sha256"] in out


def test_training_says_where_the_checkpoint_is(run: Callable, tmp_path: Path) -> None:
    data = write_prepared(tmp_path / "data", studies=8)
    sizes = {"steps": 1, "batch": 4, "workers": 0, "validate_studies": 2, "depth": 1}
    settings = write_settings(tmp_path, tmp_path / "elsewhere", **sizes)
    output = tmp_path / "out"
    status, out, _ = run("train", settings, "--data", data, "--output", output)
    assert status == 0
    assert load_checkpoint(Path(out.split("Checkpoint in ")[1].strip()))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("page.dcm", b"<html>log in</html>", "HTML"),
        ("broken.png", b"\x89PNG\r\n\x1a\n broken off", "PNG"),
        ("empty.dcm", b"", "an empty file"),
        ("absent.dcm", None, "absent.dcm"),
    ],
)
def test_a_bad_file_is_one_line(
    run: Callable,
    tmp_path: Path,
    tiny_checkpoint: Path,
    name: str,
    content: bytes | None,
    reason: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    status, out, err = run("report", tmp_path / name, "--model", tiny_checkpoint)
    assert (status, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith("crossray: error: ") and reason in line


def test_a_wrong_checkpoint_is_one_line(run: Callable, image: Path, tmp_path: Path) -> None:
    status, _, err = run("report", image, "--model", tmp_path)
    assert status == 2
    assert len(err.splitlines()) == 1 and "SHA256SUMS" in err


def test_a_batch_lists_what_failed_and_ends_with_3(
    run: Callable, tmp_path: Path, tiny_checkpoint: Path, make_dicom: Callable
) -> None:
    source, out_folder = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "a.dcm").write_bytes(make_dicom())
    (source / "b.txt").write_bytes(b"text")
    arguments = ("batch", source, "-o", out_folder, "--model", tiny_checkpoint)
    status, _, err = run(*arguments)
    assert status == 0
    assert "skipped  ./b.txt: " in err and "1 studies reported" in err
    (source / "c.dcm").write_bytes(make_dicom(StudyInstanceUID="1.2.3")[:-99])
    status, _, err = run(*arguments)
    assert status == 3
    assert "FAILED   ./c.dcm: " in err and "1 were there already" in err


def test_an_empty_folder_is_an_error(run: Callable, tmp_path: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "in").mkdir()
    arguments = ("batch", tmp_path / "in", "-o", tmp_path / "out", "--model", tiny_checkpoint)
    status, _, err = run(*arguments)
    assert status == 2 and err.startswith("crossray: error: no file")


@pytest.mark.parametrize(
    "arguments",
    [
        ("report",),
        ("batch", "in"),
        ("serve", "--port", "70000"),
        ("train", "c.toml", "--set", "nonsense"),
        ("prepare", "phantom", "out"),
    ],
)
def test_wrong_usage_says_so(run: Callable, arguments: tuple[str, ...]) -> None:
    status, _, err = run(*arguments)
    assert status == 2 and "Usage:" in err


def test_serving_with_a_wrong_model_ends(run: Callable, tmp_path: Path) -> None:
    status, _, err = run("serve", "--port", 0, "--model", tmp_path)
    assert status == 2
    assert "crossray: error: " in err and "SHA256SUMS" in err


def test_serving_says_where_and_answers(tiny_checkpoint: Path, image: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from app.cli.main import main; main()",
        "serve",
        "--port",
        "0",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, "--model", str(tiny_checkpoint)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            lines = (line for line in process.stderr if "page is at" in line)
            address = next(lines).split("page is at ")[1].split(",")[0]
            while process.poll() is None:
                try:
                    with urllib.request.urlopen(f"{address}readyz") as answer:
                        assert json.load(answer) == {"status": "ready"}
                        break
                except urllib.error.HTTPError as error:
                    assert error.code == 503
                    error.close()
                    time.sleep(0.05)
        finally:
            process.terminate()
            process.stderr.read()
        assert process.wait() in {0, -15}
