"""A batch in parts: together they do what one run does, each study once, in any order."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from batch_output import contents, rows
from material import chest, put

from app.batch.merging import merge_shards
from app.batch.results import Results
from app.batch.run import BatchOptions, run_batch
from app.batch.sharding import Shard
from model.errors import ConfigError
from model.generator import ReportGenerator


@pytest.fixture
def folder(tmp_path: Path, make_dicom: Callable, make_png: Callable) -> Path:
    """Studies of one and two files, copies, and files that are no image."""
    files = {f"ward/{i}.png": make_png(chest(i, 50, 60)) for i in range(5)}
    return put(
        tmp_path / "in",
        {
            **files,
            "copy of 3.png": files["ward/3.png"],
            "one/frontal": make_dicom(),
            "two/other view": make_dicom(chest(1, 50, 70), ViewPosition="AP"),
            "broken.dcm": make_dicom(StudyInstanceUID="1.2.3")[:-99],
            "notes.txt": b"read me",
            "b/notes.txt": b"read me too",
            "empty.png": b"",
        },
    )


def part(number: int, count: int) -> BatchOptions:
    return BatchOptions(shard=Shard(number, count))


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_together_are_the_whole(
    order: tuple[int, ...], folder: Path, tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    whole = run_batch(tiny_generator, folder, tmp_path / "whole")
    parts = [run_batch(tiny_generator, folder, tmp_path / "out", part(i, 3)) for i in order]
    assert sum(outcome.done for outcome in parts) == whole.done
    assert sum(len(outcome.unread) for outcome in parts) == len(whole.unread)
    merged = merge_shards(tmp_path / "out")
    assert (merged.done, merged.failed) == (whole.done, 2)
    expected = contents(tmp_path / "whole")
    written = {
        name: content
        for name, content in contents(tmp_path / "out").items()
        if not name.startswith(("shards/", ".lock-"))
    }
    assert written == expected


def test_a_part_run_again_does_nothing_twice(
    folder: Path, tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    first = run_batch(tiny_generator, folder, tmp_path / "out", part(1, 2))
    before = contents(tmp_path / "out")
    again = run_batch(tiny_generator, folder, tmp_path / "out", part(1, 2))
    assert (again.done, again.kept) == (0, first.done)
    assert contents(tmp_path / "out") == before
    # One run over everything goes on with what the part has done.
    rest = run_batch(tiny_generator, folder, tmp_path / "out")
    assert rest.kept == first.done and len(rows(tmp_path / "out")) == 11


def test_indications_that_no_part_knows_are_told_by_the_merge(
    folder: Path, tmp_path: Path, seeing_generator: ReportGenerator
) -> None:
    table = tmp_path / "indications.csv"
    table.write_text("study,indication\nward,Cough.\none/frontal,Fever.\nno/such,Fall.\n")
    for number in (1, 2):
        options = BatchOptions(shard=Shard(number, 2), indications=table)
        assert run_batch(seeing_generator, folder, tmp_path / "out", options).unmatched == ()
    assert merge_shards(tmp_path / "out").unmatched == (4,)


def test_a_merge_names_the_parts_that_are_missing(
    folder: Path, tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="no output folder of `crossray batch`"):
        merge_shards(out)
    run_batch(tiny_generator, folder, out, part(2, 3))
    with pytest.raises(ConfigError, match="have not ended: 1/3, 3/3"):
        merge_shards(out)
    run_batch(tiny_generator, folder, out, part(1, 2))
    with pytest.raises(ConfigError, match="one division, and has I/2, I/3"):
        merge_shards(out)
    (out / "shards" / "2-of-3.jsonl").unlink()
    (out / "shards" / "2-of-2.jsonl").write_text("{")
    with pytest.raises(ConfigError, match="run that part again with --shard 2/2"):
        merge_shards(out)


def test_parts_share_the_folder_and_nothing_else_does(
    folder: Path, tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    out, model = tmp_path / "out", tiny_generator.identity
    with Results(out, Shard(1, 2)).opened(model, redo=False):
        run_batch(tiny_generator, folder, out, part(2, 2))
        for options in (part(1, 2), BatchOptions()):
            with pytest.raises(ConfigError, match="another batch is writing"):
                run_batch(tiny_generator, folder, out, options)
        with pytest.raises(ConfigError, match="another batch is writing"):
            merge_shards(out)


def test_what_a_running_part_has_half_written_stays(
    tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    out = tmp_path / "out"
    with Results(out, Shard(1, 2)).opened(tiny_generator.identity, redo=False):
        half = out / "studies" / ".partial-0000000000000004"
        half.mkdir()
        with Results(out, Shard(2, 2)).opened(tiny_generator.identity, redo=False):
            assert half.is_dir()
    with Results(out, Shard(1, 2)).opened(tiny_generator.identity, redo=False):
        assert not half.exists()


def test_redoing_a_part_is_refused(
    folder: Path, tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    with pytest.raises(ConfigError, match="new output folder"):
        options = BatchOptions(redo=True, shard=Shard(1, 2))
        run_batch(tiny_generator, folder, tmp_path / "out", options)


def test_every_key_is_in_one_part() -> None:
    for count in range(1, 9):
        shards = [Shard.parse(f"{number}/{count}") for number in range(1, count + 1)]
        for key in ("0", "1f", "ffffffffffffffff", "1234567890abcdef"):
            assert sum(shard.holds(key) for shard in shards) == 1
    assert all(a != b for a, b in pairwise(Shard(n, 9) for n in range(1, 10)))


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "1/20000", "a/b", "1/2/3", "-1/2"])
def test_a_part_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected I/N .* such as 1/8"):
        Shard.parse(text)
