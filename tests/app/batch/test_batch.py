"""The batch: every study once, no bad file in the way of the others, nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from batch_output import contents, rows
from material import PATIENT, REPORT, chest, put
from paths import ROOT

from app.api.schemas import ReportAnswer
from app.batch.grouping import read_source
from app.batch.records import BatchImage, Record
from app.batch.results import Results
from app.batch.run import BatchOptions, Outcome, run_batch
from app.settings import Settings
from app.views import MAX_IMAGES
from model.checkpoint_folder import ModelIdentity
from model.errors import ConfigError, CrossRayError, DataError
from model.exam import Exam
from model.generator import ReportGenerator
from model.report import Report


@pytest.fixture
def mixed(tmp_path: Path, make_dicom: Callable, make_png: Callable) -> Path:
    """Two views of one study, an image, and everything a real folder has beside them."""
    ct = {"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}
    files = {
        "one/frontal": make_dicom(),
        "two/deep/down/other view.dcm": make_dicom(chest(1, 50, 70), ViewPosition="AP"),
        "image.png": make_png(),
        "notes.txt": b"read me",
        "page.dcm": b"<html>log in</html>",
        "broken.dcm": make_dicom(StudyInstanceUID="1.2.3")[:-99],
        "ct.dcm": make_dicom(StudyInstanceUID="1.2.4", **ct),
        "side.dcm": make_dicom(StudyInstanceUID="1.2.5", ViewPosition="LL"),
        "=cmd": b"",
    }
    return put(tmp_path / "in", files)


def test_a_real_folder(mixed: Path, tmp_path: Path, tiny_generator: ReportGenerator) -> None:
    out = tmp_path / "out"
    outcome = run_batch(tiny_generator, mixed, out, BatchOptions(batch_size=2))
    assert (outcome.done, outcome.kept) == (2, 0)
    assert {file.name: file.status for file in outcome.unread} == {
        "./notes.txt": "skipped",
        "./page.dcm": "failed",
        "./broken.dcm": "failed",
        "./ct.dcm": "skipped",
        "./side.dcm": "skipped",
        "./=cmd": "failed",
    }
    assert all(file.reason for file in outcome.unread)
    done = [row for row in rows(out) if row["status"] == "done"]
    assert [(row["sources"], row["images"]) for row in done] == [
        ("./image.png", "1"),
        ("./one/frontal\n./two/deep/down/other view.dcm", "2"),
    ]
    for row in done:
        assert f"{row['findings']} {row['impression']}".split()[-1] == "abnormality."
        assert row["model"] == tiny_generator.identity.sha256
        folder = out / "studies" / row["study"]
        answer = ReportAnswer.model_validate_json((folder / "report.json").read_text())
        assert answer.text == REPORT and len(answer.images) == int(row["images"])
        assert cv2.imread(str(folder / "heatmaps.jpg")) is not None
    assert len(rows(out)) == 8


def test_names_tell_nothing(mixed: Path, tmp_path: Path, tiny_generator: ReportGenerator) -> None:
    out = tmp_path / "out"
    run_batch(tiny_generator, mixed, out)
    for name, content in contents(out).items():
        for secret in PATIENT.values():
            assert secret not in name and secret.encode() not in content


def test_the_second_run_does_nothing(
    mixed: Path, tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    out = tmp_path / "out"
    first = run_batch(tiny_generator, mixed, out)
    before = {name: (out / name).stat().st_ino for name in contents(out) if "studies" in name}
    summary = rows(out)
    second = run_batch(tiny_generator, mixed, out)
    assert (second.done, second.kept) == (0, first.done)
    assert second.unread == first.unread
    assert rows(out) == summary
    assert {name: (out / name).stat().st_ino for name in before} == before


def test_what_is_missing_is_done(
    mixed: Path, tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    out = tmp_path / "out"
    run_batch(tiny_generator, mixed, out)
    put(mixed, {"new.png": make_png(5), "broken.dcm": make_png(6)})
    outcome = run_batch(tiny_generator, mixed, out)
    assert (outcome.done, outcome.kept) == (2, 2)
    failed = [file.name for file in outcome.unread if file.status == "failed"]
    assert failed == ["./=cmd", "./page.dcm"]


def test_a_new_view_has_its_study_done_again(
    tmp_path: Path, tiny_generator: ReportGenerator, make_dicom: Callable
) -> None:
    source, out = put(tmp_path / "in", {"a": make_dicom()}), tmp_path / "out"
    run_batch(tiny_generator, source, out)
    put(source, {"b": make_dicom(chest(7, 40, 40))})
    assert run_batch(tiny_generator, source, out).done == 1
    [row] = rows(out)
    assert row["images"] == "2"


def test_copies_of_a_file_count_once(
    tmp_path: Path, tiny_generator: ReportGenerator, make_dicom: Callable
) -> None:
    source = put(tmp_path / "in", {"a": make_dicom(), "copy": make_dicom()})
    run_batch(tiny_generator, source, tmp_path / "out")
    [row] = rows(tmp_path / "out")
    assert row["images"] == "1"


def test_a_bad_view_leaves_the_others_of_its_study(
    tmp_path: Path, tiny_generator: ReportGenerator, make_dicom: Callable
) -> None:
    source = put(tmp_path / "in", {"a.dcm": make_dicom()[:-99], "b.dcm": make_dicom()})
    outcome = run_batch(tiny_generator, source, tmp_path / "out")
    assert outcome.done == 1 and outcome.failed
    done, failed = rows(tmp_path / "out")
    assert (done["sources"], failed["sources"]) == ("./b.dcm", "./a.dcm")
    assert done["study"] == failed["study"]


def test_a_lateral_beside_a_frontal_is_skipped(
    tmp_path: Path, tiny_generator: ReportGenerator, make_dicom: Callable
) -> None:
    out = tmp_path / "out"
    views = {"a": make_dicom(ViewPosition="LL"), "b": make_dicom()}
    outcome = run_batch(tiny_generator, put(tmp_path / "in", views), out)
    assert (outcome.done, outcome.failed) == (1, False)
    [skipped] = outcome.unread
    assert (skipped.name, skipped.status) == ("./a", "skipped")
    assert "this model reads frontal views" in skipped.reason
    [done] = [row for row in rows(out) if row["status"] == "done"]
    assert (done["sources"], done["images"]) == ("./b", "1")


def test_a_study_has_no_more_images_than_the_api_takes(
    tmp_path: Path, tiny_generator: ReportGenerator, make_dicom: Callable
) -> None:
    """What is beyond is not even decoded: the last one, broken, does not fail."""
    files = {f"{n}.dcm": make_dicom(chest(n, 40, 40)) for n in range(MAX_IMAGES + 1)}
    files["9.dcm"] = make_dicom()[:-99]
    outcome = run_batch(tiny_generator, put(tmp_path / "in", files), tmp_path / "out")
    assert Settings.model_fields["max_files"].default == MAX_IMAGES
    assert [(file.name, file.status) for file in outcome.unread] == [
        ("./8.dcm", "skipped"),
        ("./9.dcm", "skipped"),
    ]
    assert all(str(MAX_IMAGES) in file.reason for file in outcome.unread)
    assert rows(tmp_path / "out")[0]["images"] == str(MAX_IMAGES)


class Mapless(ReportGenerator):
    """Does not say where images of 40 rows lie, so that their maps cannot be drawn."""

    def reports(self, studies: Sequence[Exam], *options: object, **more: object) -> list[Report]:
        written = super().reports(studies)
        return [
            replace(report, placements=()) if report.placements[0].height == 40 else report
            for report in written
        ]


def test_a_fault_in_drawing_costs_its_own_study_only(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    files = {"0.png": make_png(0, 40), "1.png": make_png(1)}
    source, out = put(tmp_path / "in", files), tmp_path / "out"
    faulty = Mapless(tiny_generator.model, tiny_generator.tokenizer, tiny_generator.identity)
    outcome = run_batch(faulty, source, out)
    assert outcome.done == 1
    assert [(file.name, file.status) for file in outcome.unread] == [("./0.png", "failed")]
    assert [row["status"] for row in rows(out)] == ["done", "failed"]
    assert run_batch(tiny_generator, source, out) == Outcome(done=1, kept=1)


def test_batched_is_one_by_one(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    source = put(tmp_path / "in", {f"{n}.png": make_png(n, 60 + n) for n in range(5)})
    for size in (1, 3):
        run_batch(tiny_generator, source, tmp_path / f"out{size}", BatchOptions(batch_size=size))
    one, three = (contents(tmp_path / f"out{size}") for size in (1, 3))
    texts = [
        {name: json.loads(data)["text"] for name, data in files.items() if "report" in name}
        for files in (one, three)
    ]
    assert len(texts[0]) == 5 and texts[0] == texts[1]


def test_a_folder_that_cannot_be_listed_stops_nothing(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    """Its path is too long for the system, which holds for every user, root too."""
    source = put(tmp_path / "in", {"a.png": make_png()})
    here = os.open(source, os.O_RDONLY)
    for _ in range(22):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    outcome = run_batch(tiny_generator, source, tmp_path / "out")
    assert outcome.done == 1
    [unread] = outcome.unread
    assert unread.status == "failed" and "listed" in unread.reason


@pytest.mark.parametrize("where", ["records", "studies"])
def test_a_lost_file_is_made_again(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable, where: str
) -> None:
    source, out = put(tmp_path / "in", {"a.png": make_png()}), tmp_path / "out"
    run_batch(tiny_generator, source, out)
    whole = contents(out)
    name = "*.json" if where == "records" else "report.json"
    [path] = (out / where).rglob(name)
    path.unlink()
    assert run_batch(tiny_generator, source, out).done == 1
    assert contents(out) == whole


def test_another_model_needs_another_folder(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    source, out = put(tmp_path / "in", {"a.png": make_png()}), tmp_path / "out"
    run_batch(tiny_generator, source, out)
    whole = contents(out)
    known = json.loads((out / "batch.json").read_text())
    known["model"]["sha256"] = "0" * 64
    (out / "batch.json").write_text(json.dumps(known))
    with pytest.raises(ConfigError, match="--redo"):
        run_batch(tiny_generator, source, out)
    assert run_batch(tiny_generator, source, out, BatchOptions(redo=True)).done == 1
    assert contents(out) == whole


def test_wrong_folders_are_refused(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    source = put(tmp_path / "in", {"a.png": make_png()})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file"):
        run_batch(tiny_generator, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(DataError, match="not there"):
        run_batch(tiny_generator, tmp_path / "absent", tmp_path / "out")
    with pytest.raises(DataError, match="crossray report"):
        run_batch(tiny_generator, source / "a.png", tmp_path / "out")
    with pytest.raises(ConfigError, match="input folder"):
        run_batch(tiny_generator, source, source)
    other = put(tmp_path / "other", {"summary.csv": b"precious"})
    with pytest.raises(ConfigError, match="other things"):
        run_batch(tiny_generator, source, other)
    assert contents(other) == {"summary.csv": b"precious"}
    assert not (tmp_path / "out").exists()


def test_the_output_may_lie_in_the_input(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    source = put(tmp_path / "in", {"a.png": make_png()})
    for expected in (Outcome(done=1), Outcome(kept=1)):
        assert run_batch(tiny_generator, source, source / "out") == expected


def test_two_batches_do_not_share_a_folder(tmp_path: Path) -> None:
    model = ModelIdentity("some", "0" * 64)
    with (
        Results(tmp_path / "out").opened(model, redo=False),
        pytest.raises(ConfigError, match="another batch"),
        Results(tmp_path / "out").opened(model, redo=False),
    ):
        pass


def test_a_full_disk_is_told_and_costs_nothing_finished(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    """A folder in a file's place stands for whatever the system may refuse."""
    source, out = put(tmp_path / "in", {"a.png": make_png()}), tmp_path / "out"
    run_batch(tiny_generator, source, out)
    put(source, {"b.png": make_png(1)})
    key = read_source(source / "b.png", source).study
    blocked = out / "records" / f"{key}.json"
    blocked.mkdir()
    with pytest.raises(CrossRayError, match="run the same command again"):
        run_batch(tiny_generator, source, out)
    blocked.rmdir()
    assert run_batch(tiny_generator, source, out) == Outcome(done=1, kept=1)


@pytest.mark.parametrize("left", [".partial-key", ".partial-earlier-key"])
def test_what_a_killed_worker_left_of_a_study_is_replaced(
    tmp_path: Path, tiny_generator: ReportGenerator, left: str
) -> None:
    """Also where another worker of the same run does the study again."""
    results, record = Results(tmp_path / "out"), Record("key", ("a",), "")
    with results.opened(tiny_generator.identity, redo=False):
        results.write(record, {"report.json": b"first"})
        half = tmp_path / "out/studies" / left
        half.mkdir()
        (half / "heatmaps.jpg").write_bytes(b"half")
        results.write(record, {"report.json": b"second"})
    names = [path.name for path in (tmp_path / "out/studies").rglob("*")]
    assert sorted(names) == ["key", "report.json"]
    assert (tmp_path / "out/studies/key/report.json").read_bytes() == b"second"


def test_a_finished_report_stays_until_its_successor_is_whole(tmp_path: Path) -> None:
    """A name longer than the system allows stands for whatever it may refuse."""
    out, model = tmp_path / "out", ModelIdentity("some", "0" * 64)
    results, first = Results(out), Record("key", ("a",), "", (BatchImage("a", "0", "PA"),))
    with results.opened(model, redo=False):
        first = results.write(first, {"report.json": b"first"})
        with pytest.raises(CrossRayError, match="run the same command again"):
            results.write(Record("key", ("b",), ""), {"report.json": b"second", "x" * 300: b""})
        assert (out / "studies" / "key" / "report.json").read_bytes() == b"first"
        assert results.finished("key", ("a",), "") == first
    with results.opened(model, redo=False):
        results.write(
            Record("key", ("b",), "", (BatchImage("b", "1", None),)), {"report.json": b"second"}
        )
    assert not list(out.rglob(".partial-*"))
    assert (out / "studies" / "key" / "report.json").read_bytes() == b"second"


def test_a_batch_killed_at_its_very_start_can_go_on(tmp_path: Path) -> None:
    """batch.json is the first thing made: whatever else is there, it is; half of it is no more."""
    out, model = tmp_path / "out", ModelIdentity("some", "0" * 64)
    out.mkdir()
    (out / ".lock").touch()
    (out / ".partial-batch.json").write_bytes(b"{")
    (out / "studies").mkdir()
    with pytest.raises(ConfigError, match="other things"), Results(out).opened(model, redo=False):
        pass
    (out / "studies").rmdir()
    with Results(out).opened(model, redo=False):
        made = {name: (out / name).stat().st_ctime_ns for name in ("studies", "records")}
        first = (out / "batch.json").stat().st_mtime_ns
    assert first <= min(made.values())
    for name in made:
        (out / name).rmdir()
        with Results(out).opened(model, redo=False):
            assert (out / name).is_dir()


def test_killed_at_any_moment_and_run_again(
    tmp_path: Path, tiny_generator: ReportGenerator, tiny_checkpoint: Path, make_png: Callable
) -> None:
    source = put(tmp_path / "in", {f"{n}.png": make_png(n) for n in range(12)})
    out = tmp_path / "out"
    code = "from app.cli.main import main; main()"
    command = [sys.executable, "-c", code, "batch", str(source), "-o", str(out), "--batch-size=1"]

    def records() -> dict[str, int]:
        whole = (path for path in out.glob("records/*.json") if path.name[0] != ".")
        return {path.stem: path.stat().st_mtime_ns for path in whole}

    with subprocess.Popen(
        [*command, "--model", str(tiny_checkpoint)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and len(records()) < 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finished = records()
    assert len(finished) >= 3
    outcome = run_batch(tiny_generator, source, out)
    assert (outcome.done, outcome.kept) == (12 - len(finished), len(finished))
    assert finished.items() <= records().items()
    assert not list(out.rglob(".partial-*"))
    run_batch(tiny_generator, source, tmp_path / "whole")
    assert set(contents(out)) == set(contents(tmp_path / "whole"))
