"""Studies put into the store come out as they went in, and a full disk costs nothing."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from kept_studies import DRAFT, EVERYBODY, new_study

from app.store.errors import StoreError, StoreFull, UnknownStudy
from app.store.records import NewStudy
from app.store.store import Store, open_store
from app.store.studies import add_study, image_file, open_study, preview_file
from app.store.worklist import list_studies


def test_what_went_in_comes_out_after_a_restart(store: Store) -> None:
    new = new_study(options={"input_check": False}, accession="ACC1")
    study = add_study(store, new, EVERYBODY)
    store.close()
    again = open_store(store.options, store.now)
    kept = open_study(again, study, EVERYBODY)
    assert kept.draft == DRAFT
    assert kept.options == {"input_check": False}
    assert (kept.summary.name, kept.summary.accession) == ("study 0.png", "ACC1")
    assert (kept.current.text, kept.current.kind, kept.current.author) == (
        DRAFT.text,
        "draft",
        "model",
    )
    assert image_file(again, study, 1, EVERYBODY) == (new.images[0].content, "image/png")
    assert preview_file(again, kept.images[0]) == new.images[0].preview
    again.close()


def test_the_same_study_is_kept_once(store: Store) -> None:
    first = add_study(store, new_study(), EVERYBODY)
    assert add_study(store, new_study(name="another name"), EVERYBODY) == first
    other = replace(new_study(), options={"input_check": False})
    assert add_study(store, other, EVERYBODY) != first
    assert list_studies(store).total == 2


def test_the_patient_is_kept_only_where_the_operator_wants_it(store: Store) -> None:
    new = new_study(patient_name="Quillfeather", patient_id="MRN-1")
    study = add_study(store, new, EVERYBODY)
    assert open_study(store, study, EVERYBODY).summary.patient_name is None
    wanted = replace(store, options=replace(store.options, keep_patient=True))
    study = add_study(wanted, replace(new, images=new_study(1).images), EVERYBODY)
    summary = open_study(store, study, EVERYBODY).summary
    assert (summary.patient_name, summary.patient_id) == ("Quillfeather", "MRN-1")


def test_what_is_not_there_is_said(store: Store) -> None:
    with pytest.raises(UnknownStudy):
        open_study(store, "0" * 32, EVERYBODY)
    study = add_study(store, new_study(), EVERYBODY)
    with pytest.raises(UnknownStudy):
        image_file(store, study, 2, EVERYBODY)


def test_no_path_leaves_the_folder(store: Store) -> None:
    for name in ("../../etc/passwd", "", "x" * 64, "../" + "0" * 61):
        with pytest.raises(UnknownStudy):
            store.files.read(name)


def test_a_damaged_file_is_told(store: Store) -> None:
    study = add_study(store, new_study(), EVERYBODY)
    [image] = open_study(store, study, EVERYBODY).images
    path = store.options.folder / "files" / image.sha256[:2] / image.sha256
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="damaged"):
        image_file(store, study, 1, EVERYBODY)


def test_the_quota_refuses_before_anything_is_written(store: Store) -> None:
    size = _size(new_study(0))
    tight = replace(store, options=replace(store.options, quota_bytes=size + 10))
    add_study(tight, new_study(0), EVERYBODY)
    before = _tree(store.options.folder / "files")
    with pytest.raises(StoreFull, match="CROSSRAY_STORE_QUOTA_BYTES"):
        add_study(tight, new_study(1), EVERYBODY)
    assert _tree(store.options.folder / "files") == before
    assert list_studies(store).total == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_costs_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    kept = add_study(store, new_study(0), EVERYBODY)
    before = _tree(store.options.folder / "files")

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreFull, match="disk is full"):
            add_study(store, new_study(1), EVERYBODY)
    assert _tree(store.options.folder / "files") == before
    assert list_studies(store).total == 1
    assert open_study(store, kept, EVERYBODY).draft == DRAFT
    add_study(store, new_study(1), EVERYBODY)
    assert list_studies(store).total == 2


def _size(new: NewStudy) -> int:
    return sum(len(image.content) + len(image.preview) for image in new.images)


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
