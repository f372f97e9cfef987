"""findings.parquet holds what the reports assert, a row a finding."""

from collections.abc import Callable
from pathlib import Path

import pytest
from batch_output import rows
from material import chest, put
from paths import ROOT

from app.api.schemas import ReportAnswer
from app.batch.merging import merge_shards
from app.batch.run import BatchOptions, run_batch
from app.batch.sharding import Shard
from model.errors import ConfigError
from model.generator import ReportGenerator

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


PHANTOM = ROOT / "model" / "phantom"


@pytest.fixture(scope="module")
def generator() -> ReportGenerator:
    """One that asserts findings."""
    return ReportGenerator.load(PHANTOM)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    names = ("left-effusion", "right-nodule", "normal")
    images = {f"{n}.png": (ROOT / f"app/static/samples/{n}.png").read_bytes() for n in names}
    return put(tmp_path / "in", {**images, "notes.txt": b"read me"})


@pytest.fixture
def folder(tmp_path: Path, make_png: Callable) -> Path:
    images = {f"{i}.png": make_png(chest(i, 50, 60)) for i in range(4)}
    return put(tmp_path / "in", {**images, "notes.txt": b"read me"})


def test_it_holds_what_the_reports_assert(
    samples: Path, tmp_path: Path, generator: ReportGenerator
) -> None:
    out = tmp_path / "out"
    run_batch(generator, samples, out, BatchOptions(findings=True))
    table = parquet.read_table(out / "findings.parquet").to_pylist()
    expected = []
    for row in rows(out):
        if row["status"] == "done":
            content = (out / "studies" / row["study"] / "report.json").read_bytes()
            for found in ReportAnswer.model_validate_json(content).findings:
                fields = found.sides, found.zone, found.certainty, found.presence_probability
                expected.append((row["study"], [row["sources"]], found.name, *fields))
    columns = "study", "sources", "finding", "sides", "zone", "certainty", "presence_probability"
    assert [tuple(row[name] for name in columns) for row in table] == expected
    assert {"pleural_effusion"} <= {row["finding"] for row in table}


def test_parts_give_the_same_table(
    samples: Path, tmp_path: Path, generator: ReportGenerator
) -> None:
    run_batch(generator, samples, tmp_path / "whole", BatchOptions(findings=True))
    for number in (1, 2):
        options = BatchOptions(shard=Shard(number, 2), findings=True)
        with pytest.raises(ConfigError, match="batch-merge --parquet"):
            run_batch(generator, samples, tmp_path / "out", options)
        run_batch(generator, samples, tmp_path / "out", BatchOptions(shard=options.shard))
    merge_shards(tmp_path / "out", findings=True)
    tables = [parquet.read_table(tmp_path / out / "findings.parquet") for out in ("whole", "out")]
    assert tables[0].equals(tables[1])


def test_without_the_package_nothing_is_begun(
    folder: Path, tmp_path: Path, tiny_generator: ReportGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'crossray\[parquet\]'"):
        run_batch(tiny_generator, folder, tmp_path / "out", BatchOptions(findings=True))
    assert not (tmp_path / "out").exists()
