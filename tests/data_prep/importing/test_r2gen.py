"""annotation.json: what R2Gen reads, from any prepared folder, and back."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mimic_tree import write_mimic
from prepared_folder import write_prepared

from data_prep.datasets.iu_xray import studies as iu_studies
from data_prep.datasets.mimic_cxr import studies as mimic_studies
from data_prep.importing.r2gen import export
from data_prep.importing.run import ImportOptions, import_studies
from data_prep.manifest import Image, Study, read_studies, write_studies
from data_prep.source import DataSet
from model.errors import DataError

SPLITS = {"train": "train", "val": "validate", "test": "test"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Findings alone of MIMIC-CXR, with priors."""
    source, out = (tmp_path_factory.mktemp("made") / name for name in ("mimic", "prepared"))
    write_mimic(source, 10)
    options = ImportOptions(target="findings", prior=True)
    import_studies(
        out, DataSet({}, source, mimic_studies(source)), options, workers=1, progress=False
    )
    return out


def exported(folder: Path, path: Path) -> dict:
    counts = export(folder, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert counts == {name: len(entries) for name, entries in content.items()}
    return content


def test_every_study_is_in_its_split_with_its_images(prepared, tmp_path):
    content = exported(prepared, tmp_path / "annotation.json")
    assert list(content) == ["train", "val", "test"]
    for name, split in SPLITS.items():
        studies = list(read_studies(prepared, split))
        assert [entry["id"] for entry in content[name]] == [study.id for study in studies]
        for entry, study in zip(content[name], studies, strict=True):
            assert entry["split"] == name
            assert (str(entry["study_id"]), str(entry["subject_id"])) == (study.id, study.patient)
            assert f"Findings: {entry['report']}" == study.report
            assert [f"images/{path}" for path in entry["image_path"]] == [
                image.path for image in study.images if not image.prior
            ]


def test_headings_are_no_part_of_r2gens_reports(tmp_path):
    texts = {
        "a": "Findings: Mild edema. Impression: Edema.",
        "b": "Findings: Mild edema.",
        "c": "Impression: Edema.",
    }
    write_studies(tmp_path, (Study(id, "test", (), text) for id, text in texts.items()))
    entries = exported(tmp_path, tmp_path / "x.json")["test"]
    assert [entry["report"] for entry in entries] == ["Mild edema. Edema.", "Mild edema.", "Edema."]
    assert all("subject_id" not in entry for entry in entries)


def test_folders_of_other_makers_do(tmp_path):
    content = exported(write_prepared(tmp_path / "blobs", 8), tmp_path / "annotation.json")
    assert [len(content[name]) for name in SPLITS] == [8, 2, 0]


def test_what_is_exported_prepares_to_the_same_reports(tmp_path):
    source = tmp_path / "kaggle"
    images = source / "images" / "images_normalized"
    images.mkdir(parents=True)
    reports = ["uid,indication,comparison,findings,impression"]
    projections = ["uid,filename,projection"]
    rng = np.random.default_rng(0)
    for uid in range(1, 30):
        reports.append(f'{uid},XXXX,,"{uid} mm nodule, ""no"" XXXX. Clear [bases].",Normal.')
        for name, view in ((f"{uid}_IM-0001-1001", "Frontal"), (f"{uid}_IM-0001-2001", "Lateral")):
            projections.append(f"{uid},{name}.dcm.png,{view}")
            pixels = rng.integers(0, 255, (32, 32), dtype=np.uint8)
            cv2.imwrite(str(images / f"{name}.dcm.png"), pixels)
    (source / "indiana_reports.csv").write_text("\n".join(reports))
    (source / "indiana_projections.csv").write_text("\n".join(projections))

    options = ImportOptions(target="findings")
    first, second = tmp_path / "first", tmp_path / "second"
    import_studies(
        first, DataSet({}, source, iu_studies(source)), options, workers=1, progress=False
    )
    exported(first, first / "annotation.json")
    import_studies(
        second, DataSet({}, first, iu_studies(first)), options, workers=1, progress=False
    )

    def told(folder):
        return [(study.id, study.split, study.report) for study in read_studies(folder)]

    standard = [each for each in told(first) if each[0] in {s.id for s in iu_studies(first)}]
    assert told(second) == standard == told(first)
    hashes = [
        {image.pixels for study in read_studies(f) for image in study.images}
        for f in (first, second)
    ]
    assert hashes[0] == hashes[1]


def test_an_export_is_whole_or_not_there(prepared, tmp_path):
    path = tmp_path / "annotation.json"
    with pytest.raises(DataError, match=r"no studies\.jsonl"):
        export(tmp_path, path)
    assert not path.exists()
    with pytest.raises(DataError, match="cannot be written"):
        export(prepared, tmp_path / "nowhere" / "annotation.json")
    outside = Image("elsewhere/a.png", 8, 8, None)
    write_studies(tmp_path, [Study("a", "train", (outside,), "Findings: Clear.")])
    with pytest.raises(DataError, match=r"'elsewhere/a\.png' is not in images/"):
        export(tmp_path, path)
    assert not list(tmp_path.glob("annotation*"))
