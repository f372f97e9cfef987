"""What a later run of a batch notices: spoilt outputs, refusals, files that changed meanwhile."""

import hashlib
import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from batch_output import contents, rows
from material import chest, put
from pydicom import dcmread
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from app.batch.records import Record
from app.batch.results import Results
from app.batch.run import BatchOptions, Outcome, run_batch
from app.batch.stages import Checks
from model.generator import ReportGenerator


@pytest.mark.parametrize("name", ["report.json", "heatmaps.jpg"])
@pytest.mark.parametrize("harm", ["removed", "emptied", "cut"])
def test_a_spoilt_output_is_made_again(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable, name: str, harm: str
) -> None:
    source, out = put(tmp_path / "in", {"a.png": make_png()}), tmp_path / "out"
    run_batch(tiny_generator, source, out)
    whole = contents(out)
    [path] = out.rglob(name)
    content = path.read_bytes()
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(content[: 0 if harm == "emptied" else -1])
    assert run_batch(tiny_generator, source, out) == Outcome(done=1)
    assert contents(out) == whole
    assert run_batch(tiny_generator, source, out) == Outcome(kept=1)


def test_files_of_two_patients_in_one_study_are_refused(
    tmp_path: Path, tiny_generator: ReportGenerator, make_dicom: Callable
) -> None:
    files = {"a": make_dicom(), "b": make_dicom(chest(1), PatientID="Q-1")}
    source, out = put(tmp_path / "in", files), tmp_path / "out"
    assert run_batch(tiny_generator, source, out) == Outcome(refused=1)
    [row] = rows(out)
    assert row["status"] == "refused" and "different patients" in row["reason"]
    options = BatchOptions(checks=Checks(identity_check=False))
    assert run_batch(tiny_generator, source, out, options).done == 1
    [row] = rows(out)
    assert row["warnings"].startswith("identity_mismatch: ")
    assert b"Q-1" not in b"".join(contents(out).values())


def test_a_file_that_changes_while_the_batch_runs_is_done_again(
    tmp_path: Path,
    tiny_generator: ReportGenerator,
    make_png: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its record says which bytes were decoded, and names the file as it was planned."""
    source, out = put(tmp_path / "in", {"a.png": make_png()}), tmp_path / "out"
    finished = Results.finished
    changed = make_png(7, 90)

    def meddle(
        self: Results, study: str, stamps: tuple[str, ...], indication: str
    ) -> Record | None:
        put(source, {"a.png": changed})  # after it was planned, before it is decoded
        return finished(self, study, stamps, indication)

    with monkeypatch.context() as patched:
        patched.setattr(Results, "finished", meddle)
        assert run_batch(tiny_generator, source, out) == Outcome(done=1)
    [path] = out.glob("records/*.json")
    [image] = json.loads(path.read_text())["images"]
    assert image["sha256"] == hashlib.sha256(changed).hexdigest()
    assert run_batch(tiny_generator, source, out) == Outcome(done=1)
    assert run_batch(tiny_generator, source, out) == Outcome(kept=1)


def test_a_touched_file_is_done_again_and_a_moved_folder_is_not(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    source, out = (
        put(tmp_path / "in", {"a.png": make_png(), "b.png": make_png(1)}),
        tmp_path / "out",
    )
    run_batch(tiny_generator, source, out)
    moved = source.rename(tmp_path / "moved")
    assert run_batch(tiny_generator, moved, out) == Outcome(kept=2)
    os.utime(moved / "a.png", ns=(1, 1))
    assert run_batch(tiny_generator, moved, out) == Outcome(done=1, kept=1)


def test_what_holds_no_image_is_skipped(
    tmp_path: Path, tiny_generator: ReportGenerator, make_dicom: Callable
) -> None:
    state = dcmread(BytesIO(make_dicom(StudyInstanceUID="1.2.3")))
    state.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    del state.PixelData
    source = put(tmp_path / "in", {"a.dcm": make_dicom()})
    state.save_as(source / "state.dcm")
    outcome = run_batch(tiny_generator, source, tmp_path / "out")
    assert (outcome.done, outcome.failed) == (1, False)
    assert [(file.name, file.status) for file in outcome.unread] == [("./state.dcm", "skipped")]
