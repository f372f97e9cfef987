"""Grouping: which files belong to one study, told without decoding or trusting them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from material import put

from app.batch.grouping import read_source


@pytest.mark.parametrize("uid", ["../../etc/x", "1.2.3", "a name"])
def test_a_study_is_known_by_a_hash(tmp_path: Path, make_dicom: Callable, uid: str) -> None:
    padded = uid.ljust(12, "\0").encode()
    odd = make_dicom(StudyInstanceUID="9.9.9.9.9.99").replace(b"9.9.9.9.9.99", padded)
    put(tmp_path, {"a": odd, "b": odd + b"more", "c": make_dicom()})
    key = read_source(tmp_path / "a", tmp_path).study
    assert len(key) == 16 and set(key) <= set("0123456789abcdef")
    assert key == read_source(tmp_path / "b", tmp_path).study
    assert key != read_source(tmp_path / "c", tmp_path).study


@pytest.mark.parametrize("cut", [0, 132])
def test_files_with_and_without_preamble_are_of_one_study(
    tmp_path: Path, make_dicom: Callable, cut: int
) -> None:
    put(tmp_path, {"a": make_dicom(), "b": make_dicom(Modality="DX")[cut:]})
    assert (
        read_source(tmp_path / "a", tmp_path).study == read_source(tmp_path / "b", tmp_path).study
    )


def test_a_bomb_is_grouped_without_being_inflated(tmp_path: Path) -> None:
    """A gigabyte of zeros in a megabyte: reading its study stops after the first megabyte."""
    import tracemalloc
    import zlib

    from pydicom.dataset import FileMetaDataset
    from pydicom.filewriter import write_file_meta_info

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    element = b"\x08\x00\x08\x00OB\0\0\xff\xff\xff\x3f"
    zeros = bytes(2**20)
    bomb = compressor.compress(element) + b"".join(compressor.compress(zeros) for _ in range(300))
    path = tmp_path / "bomb"
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        write_file_meta_info(file, meta)
        file.write(bomb + compressor.flush())
    tracemalloc.start()
    source = read_source(path, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(source.study) == 16
    assert peak < 16 * 2**20
