"""Importing: the same folder whatever made it, what is done stays done, what is wrong is named."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from layouts import nih_small, plain_studies, png
from material import chest, put
from paths import ROOT

from data_prep.datasets.nih import studies as nih_studies
from data_prep.importing.images import (
    NO_FRONTAL,
    NOT_THERE,
    Job,
    Outcome,
    Task,
    shrink,
    write_images,
)
from data_prep.importing.planning import ImportOptions
from data_prep.importing.run import ImportSummary, import_studies
from data_prep.manifest import manifest_hash, read_studies
from data_prep.source import DataSet, SourceImage, SourceStudy
from model.errors import ConfigError, DataError

SMALL = ImportOptions(size=64)


def bring(
    out: Path,
    source: Path,
    studies: list[SourceStudy],
    options: ImportOptions = SMALL,
    workers: int = 1,
) -> ImportSummary:
    return import_studies(
        out, DataSet({"source": "test"}, source, studies), options, workers, False
    )


def listed(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))[1:]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SourceStudy]]:
    """40 studies, of which one has no report, one no image, one a cut and one a missing file."""
    source = tmp_path_factory.mktemp("source")
    studies = plain_studies(source, 40)
    studies[5] = replace(studies[5], findings="XXXX.")
    studies[6] = replace(studies[6], images=())
    (source / "7.png").write_bytes(png(7)[:-100])
    (source / "8.png").unlink()
    put(source, {"9.png": png(10), "13.png": png(14)})  # as 10 (validate) and 14 (validate)
    return source, studies


@pytest.fixture(scope="module")
def imported(
    material: tuple[Path, list[SourceStudy]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ImportSummary]:
    out = tmp_path_factory.mktemp("out")
    return out, bring(out, *material)


def test_order_and_number_of_processes_change_nothing(material, imported, tmp_path):
    source, studies = material
    summary = bring(tmp_path, source, studies[::-1], workers=2)
    assert summary == imported[1]
    for name in ("studies.jsonl", "tokenizer.json", "prepared.json", "left_out.csv"):
        assert (tmp_path / name).read_bytes() == (imported[0] / name).read_bytes()


def test_what_is_not_prepared_is_listed_with_its_reason(imported):
    out, summary = imported
    left_out = {study: (origin, reason) for study, origin, reason in listed(out / "left_out.csv")}
    assert left_out["s5"] == ("row 5", "no report in the wanted sections")
    assert left_out["s6"] == ("row 6", "no image is named")
    assert left_out["s7"] == ("row 7", "no image could be read") and set(left_out) == {
        *("s5", "s6", "s7", "s8")
    }
    (cut, _, why), missing = listed(out / "bad_images.csv")
    assert (cut, missing) == ("s7", ["s8", "./8.png", NOT_THERE]) and "cut short" in why
    assert sum(summary.left_out.values()) == 4 and summary.bad_images == 2


def test_the_manifest_holds_the_rest(imported):
    out, summary = imported
    studies = list(read_studies(out))
    assert [study.id for study in studies] == sorted(study.id for study in studies)
    assert len(studies) == 36 == sum(summary.studies.values()) == summary.images
    for study in studies:
        [image] = study.images
        pixels = cv2.imread(str(out / image.path), cv2.IMREAD_UNCHANGED)
        assert pixels.shape == (image.height, image.width) == (48, 40)
        assert study.report == "Findings: The heart is in size. The lungs are clear." or (
            "XXXX" not in study.report
        )
        assert study.id not in image.path
    assert summary.manifest_sha256 == manifest_hash(out)


def test_equal_images_of_two_studies_are_reported_across_splits(imported):
    out, summary = imported
    rows = listed(out / "duplicates.csv")
    assert {row[0]: {r[1] for r in rows if r[0] == row[0]} for row in rows} in (
        {"1": {"s9", "s10"}, "2": {"s13", "s14"}},
        {"1": {"s13", "s14"}, "2": {"s9", "s10"}},
    )
    assert (summary.duplicates, summary.across_splits) == (2, 2)


def test_run_again_it_does_what_is_lost_and_what_failed(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    studies = plain_studies(source, 8)
    (source / "7.png").write_bytes(png(7)[:-100])
    first = bring(out, source, studies)
    images = sorted(out.glob("images/*/*.png"))
    images[0].unlink()
    images[1].write_bytes(b"")
    before = {path: path.stat().st_mtime_ns for path in images[2:]}
    (source / "7.png").write_bytes(png(7))
    second = bring(out, source, studies)
    assert (first.earlier, second.earlier) == (0, 5)
    assert sum(second.studies.values()) == 8 and second.bad_images == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    clean = bring(tmp_path / "clean", source, studies)
    assert clean.manifest_sha256 == second.manifest_sha256


def test_a_run_that_was_killed_is_finished_by_the_next(tmp_path):
    source, out, clean = nih_small(tmp_path / "in", 160), tmp_path / "out", tmp_path / "clean"
    code = "from app.cli.main import main; main()"
    command = [sys.executable, "-c", code, "prepare", "nih", source, out, "--size", "64"]
    # In a session of its own: the kill must reach the processes that it started too.
    with subprocess.Popen(
        [*map(str, command), "--workers", "1"],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    ) as running:
        # Images of a third chunk: the first one stands in the ledger.
        while len(list(out.glob("images/*/*.png"))) < 40 and running.poll() is None:
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGKILL)
    assert not (out / "studies.jsonl").exists()
    options = replace(SMALL, target="findings")
    second, first = (
        import_studies(
            to, DataSet({"source": "nih"}, source, nih_studies(source)), options, 1, False
        )
        for to in (out, clean)
    )
    assert 0 < second.earlier < 160 and first.earlier == 0
    assert second.manifest_sha256 == first.manifest_sha256


@pytest.mark.parametrize("share", ["same patient", "same id"])
def test_a_data_set_that_contradicts_itself_is_refused_and_costs_nothing(material, imported, share):
    source, studies = material
    out = imported[0]
    before = manifest_hash(out)
    leaky = list(studies)
    if share == "same patient":
        leaky[3] = replace(leaky[3], patient="p0")
        expected = r"row 3 is in test, row 0 in train|row 0 is in train, row 3 in test"
    else:
        leaky[3] = replace(leaky[3], id="s0")
        expected = "row 0 and row 3 tell of one study"
    with pytest.raises(DataError, match=expected) as error:
        bring(out, source, leaky)
    assert "p0" not in str(error.value)
    assert manifest_hash(out) == before
    assert bring(out, source, studies).earlier == imported[1].images + 1


def test_half_a_download_is_told_with_the_first_missing_path(tmp_path):
    source = tmp_path / "in"
    studies = plain_studies(source, 8)
    for n in range(1, 6):
        (source / f"{n}.png").unlink()
    with pytest.raises(DataError, match=r"5 of 8 images are not there, first '1\.png'"):
        bring(tmp_path / "out", source, studies)
    assert not list((tmp_path / "out").glob("images/*/*"))


def test_what_cannot_be_is_refused(material, imported, tmp_path):
    source, studies = material
    with pytest.raises(DataError, match="asked for"):
        bring(imported[0], source, studies, replace(SMALL, size=65))
    with pytest.raises(ConfigError, match="outside"):
        bring(source / "prepared", source, studies)
    with pytest.raises(DataError, match="no study is left to train on"):
        bring(tmp_path / "out", source, [studies[2]])
    with pytest.raises(DataError, match="row 0: the split 'training'"):
        bring(tmp_path / "out", source, [replace(studies[0], split="training")])


@pytest.mark.parametrize(
    "wrong", [{"size": 10}, {"images": 0}, {"target": "all"}, {"split": "official"}]
)
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        ImportOptions(**wrong)


def test_a_path_out_of_the_folder_is_not_followed(tmp_path):
    source = tmp_path / "in"
    studies = plain_studies(source, 4)
    put(tmp_path, {"secret.png": png(99)})
    outside = (Path("../secret.png"), (tmp_path / "secret.png"))
    studies[0] = replace(studies[0], images=(*map(SourceImage, outside), *studies[0].images))
    bring(tmp_path / "out", source, studies)
    assert {row[2] for row in listed(tmp_path / "out" / "bad_images.csv")} == {
        "leads out of the data set's folder"
    }


def test_rules_of_the_split(tmp_path):
    source = tmp_path / "in"
    studies = [replace(study, split=None) for study in plain_studies(source, 6)]
    studies[0] = replace(studies[0], split="train")
    standard = bring(tmp_path / "standard", source, studies, replace(SMALL, split="standard"))
    assert standard.studies["train"] == 1
    assert standard.left_out == {"not in the standard split": 5}


def test_the_latest_earlier_frontal_is_the_prior(tmp_path):
    source = tmp_path / "in"
    studies = [
        replace(study, patient="one", split="train", time=time)
        for study, time in zip(
            plain_studies(source, 5),
            ("20200101", "20200301", "20200201", "", "20200401"),
            strict=True,
        )
    ]
    studies[1] = replace(studies[1], images=(SourceImage(Path("1.png"), "LATERAL"),))
    bring(tmp_path / "out", source, studies, replace(SMALL, prior=True))
    made = {study.id: study.images for study in read_studies(tmp_path / "out")}
    priors = {id_: [p.source for p in images if p.prior] for id_, images in made.items()}
    # The latest before s4 has no frontal image; s3 has no time.
    assert priors == {"s0": [], "s2": ["0"], "s1": ["2"], "s3": [], "s4": ["2"]}
    assert made["s2"][1].path == made["s0"][0].path


def outcome(
    tmp_path: Path, files: dict[str, bytes], views: dict[str, str | None], limit: int
) -> Outcome:
    put(tmp_path, files)
    images = tuple(SourceImage(Path(name), view) for name, view in views.items())
    (tmp_path / "out" / "images").mkdir(parents=True, exist_ok=True)
    job = Job(tmp_path / "out", tmp_path, 64, limit)
    [told] = write_images(job, [Task("x", "state", images)])
    return told


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1, ["pa"]), (2, ["pa", "side"]), (3, ["pa", "ap", "side"]), (9, ["pa", "ap", "u", "side"])],
)
def test_best_frontal_and_best_lateral_come_first(tmp_path, limit, expected):
    views = {"u.png": None, "side.png": "LATERAL", "ap.png": "AP", "pa.png": "PA"}
    files = {name: png(n) for n, name in enumerate(views)}
    told = outcome(tmp_path, files, views, limit)
    assert [made.image.source for made in told.made] == expected


def test_a_bad_image_has_the_next_one_taken(tmp_path):
    views = {"pa.png": "PA", "side.png": "LATERAL", "ap.png": "AP"}
    files = {"pa.png": png(0)[:-50], "side.png": png(1), "ap.png": png(2)}
    told = outcome(tmp_path, files, views, 1)
    assert [made.image.source for made in told.made] == ["ap"]
    assert [name for name, _ in told.bad] == ["pa.png"]
    lateral = outcome(tmp_path, files, {"pa.png": "PA", "side.png": "LATERAL"}, 1)
    assert (lateral.made, lateral.reason) == ((), NO_FRONTAL)


def test_the_header_tells_a_view_that_the_data_set_does_not(
    tmp_path: Path, make_dicom: Callable
) -> None:
    files = {"a": make_dicom(ViewPosition="LL"), "b": make_dicom(ViewPosition="AP")}
    told = outcome(tmp_path, files, {"a": None, "b": None}, 2)
    assert [made.image.view for made in told.made] == ["AP", "LATERAL"]
    [made] = outcome(tmp_path, files, {"a": None, "b": None}, 1).made
    assert made.image.source == "b"


def test_sixteen_bits_are_shown_over_their_own_range(tmp_path):
    """12-bit values in a 16-bit PNG would be nearly black over the whole range."""
    pixels = chest(3, 60, 50).astype(np.uint16)
    names = {"twelve.png": 16, "sixteen.png": 257}
    files = {n: cv2.imencode(".png", pixels * factor)[1].tobytes() for n, factor in names.items()}
    told = outcome(tmp_path, files, dict.fromkeys(names, "PA"), 2)
    assert len({made.image.pixels for made in told.made}) == 1
    prepared = cv2.imread(str(tmp_path / "out" / told.made[0].image.path), cv2.IMREAD_UNCHANGED)
    assert prepared.dtype == np.uint8 and (prepared.min(), prepared.max()) == (0, 255)


def test_shrinking_is_the_mean_over_areas():
    pixels = np.random.default_rng(0).random((311, 203)).astype(np.float32)
    small = shrink(pixels, 100)
    assert small.shape == (100, 65) and small.dtype == np.uint8
    reference = cv2.resize(pixels, (65, 100), interpolation=cv2.INTER_AREA) * 255
    # 8 bits round by up to a half; 16 bits before them by next to nothing.
    assert np.abs(small - reference).max() < 0.51
    assert (shrink(np.full((300, 200), 0.5, np.float32), 64) == 128).all()
    assert shrink(pixels, 400).shape == pixels.shape
