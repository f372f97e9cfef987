"""The plan of a batch: every file in its study, in order, whatever the memory."""

from collections.abc import Callable
from pathlib import Path

from material import put

from app.batch.grouping import find_files
from app.batch.plan import Plan, plan_studies
from app.batch.sharding import Shard


def planned(folder: Path, shard: Shard | None = None) -> Plan:
    return plan_studies(find_files(folder, []), folder, shard)


def test_studies_come_in_the_order_of_their_first_file(
    tmp_path: Path, make_dicom: Callable
) -> None:
    one, two = (make_dicom(StudyInstanceUID=uid) for uid in ("1.2.1", "1.2.2"))
    files = {"a/1": two, "b/1": one, "b/2": two, "a/image.png": b"\x89PNG", "z": one}
    plan = planned(put(tmp_path, files))
    names = [study.names for study in plan.studies()]
    # As the folder is walked: files of a folder before the folders in it.
    assert names == [("./z", "./b/1"), ("./a/1", "./b/2"), ("./a/image.png",)]
    assert len(plan) == 3
    for study in plan.studies():
        for source in study.sources:
            assert plan.name_of(source.stamp) == source.name
            assert source.path == tmp_path / source.name and source.study == study.key


def test_parts_are_disjoint_and_whole(tmp_path: Path, make_dicom: Callable) -> None:
    put(tmp_path, {f"{n}": make_dicom(StudyInstanceUID=f"1.2.{n // 2}") for n in range(20)})
    parts = [
        {study.key for study in planned(tmp_path, Shard(number, 3)).studies()}
        for number in (1, 2, 3)
    ]
    assert sum(map(len, parts)) == 10
    assert set.union(*parts) == {study.key for study in planned(tmp_path).studies()}


def test_a_name_that_is_not_utf8_is_kept(tmp_path: Path) -> None:
    put(tmp_path, {"caf\udce9.png": b"\x89PNG"})
    [study] = planned(tmp_path).studies()
    assert study.names == ("./caf\udce9.png",)
    assert study.sources[0].path.exists()


def test_a_later_uid_is_found(tmp_path: Path, make_dicom: Callable) -> None:
    """Behind a long comment, which the first kilobytes end in."""
    files = {"a": make_dicom(LongCodeValue="y" * 40_000)}
    files["b"] = make_dicom()
    [study] = planned(put(tmp_path, files)).studies()
    assert study.names == ("./a", "./b")
