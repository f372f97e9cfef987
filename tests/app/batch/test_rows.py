"""Rows of a summary: their order, and memory that does not grow with them."""

import random
import tracemalloc
from pathlib import Path, PurePosixPath

from material import put

from app.batch.grouping import find_files, relative_name
from app.batch.rows import Row, SummaryRows, walk_key

TOKENS = ("a", "b", "ab", "a-", "B", " ", "1", "é", "\uffff", "\U00010000", "\udc80", "\udcff")


def names(count: int) -> set[str]:
    chance = random.Random(0)
    deep = [chance.choices(TOKENS, k=chance.randint(1, 4)) for _ in range(count)]
    return {"./" + "/".join(parts) for parts in deep}


def row(name: str, status: str = "done", study: str = "") -> Row:
    return {"study": study, "status": status, "sources": name, "reason": "\udc80"}


def test_names_are_ordered_folder_by_folder() -> None:
    """A folder's files first, then its folders, each by code points."""

    def parts(name: str) -> list[tuple[bool, str]]:
        *folders, file = PurePosixPath(name).parts
        return [*((True, folder) for folder in folders), (False, file)]

    assert sorted(names(500), key=walk_key) == sorted(names(500), key=parts)


def test_the_order_is_that_of_a_walk(tmp_path: Path) -> None:
    files = ("b.png", "a/z.png", "a/b/c.png", "a-/c.png", "A.png", "a.png", "c/d/e/f.png")
    folder = put(tmp_path, dict.fromkeys(files, b"x"))
    walked = [relative_name(path, folder) for path in find_files(folder, [])]
    assert sorted(walked, key=walk_key) == walked


def test_studies_come_before_files_whatever_the_order_of_arrival() -> None:
    every = [row(name, status) for name in names(99) for status in ("done", "failed", "refused")]
    random.Random(1).shuffle(every)
    rows = SummaryRows()
    for each in every:
        rows.add(each)
    found = list(rows)
    assert len(rows) == len(found) == len(every)
    studies = [each for each in found if each["status"] in {"done", "refused"}]
    assert found[: len(studies)] == studies
    for part in (studies, found[len(studies) :]):
        keys = [walk_key(str(each["sources"])) for each in part]
        assert keys == sorted(keys)
    assert list(rows.of("failed")) == found[len(studies) :]
    assert list(rows.of("failed", 2)) == found[len(studies) :][:2]


def test_memory_does_not_grow_with_the_rows() -> None:
    """That of the interpreter: what SQLite holds is bounded by its cache."""
    peaks = []
    for count in (100, 1000):
        tracemalloc.start()
        rows = SummaryRows()
        for number in range(count):
            rows.add({**row(f"./{number}.png", "failed"), "reason": "x" * 3000})
        assert sum(1 for _ in rows) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 100_000  # the rows are 3 MB
