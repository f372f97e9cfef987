"""A batch in object storage: what a folder gets, each study once, and the first record wins."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batch_output import contents
from material import chest, put
from upath import UPath

from app.batch.locations import parse_location
from app.batch.merging import merge_shards
from app.batch.object_results import ObjectResults
from app.batch.records import Record
from app.batch.run import BatchOptions, run_batch
from app.batch.sharding import Shard
from model.errors import ConfigError, CrossRayError, DataError
from model.generator import ReportGenerator

moto_server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> UPath:
    """An empty bucket of a local S3 server."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    name = "test-" + str(abs(hash(request.node.name)))
    location = parse_location(f"s3://{name}")
    assert isinstance(location, UPath)
    location.fs.mkdir(name)
    return location


@pytest.fixture
def files(make_dicom: Callable, make_png: Callable) -> dict[str, bytes]:
    images = {f"ward/{i}.png": make_png(chest(i, 50, 60)) for i in range(3)}
    return {
        **images,
        "copy.png": images["ward/1.png"],
        "one/frontal": make_dicom(),
        "two/other": make_dicom(chest(1, 50, 70), ViewPosition="AP"),
        "broken.dcm": make_dicom(StudyInstanceUID="1.2.3")[:-99],
        "notes.txt": b"read me",
    }


STAMPS = re.compile(rb'"[0-9a-f]{32}"')


def upload(prefix: UPath, files: dict[str, bytes]) -> UPath:
    for name, content in files.items():
        (prefix / name).write_bytes(content)
    return prefix


def downloaded(prefix: UPath) -> dict[str, bytes]:
    """As `contents` of a folder, without what only object storage has."""
    prefix.fs.invalidate_cache()
    length = len(prefix.path) + 1
    found = {path[length:]: prefix.fs.cat_file(path) for path in prefix.fs.find(prefix.path)}
    return unstamped({n: data for n, data in found.items() if not n.startswith("ledger/")})


def unstamped(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without the stamps of records: in object storage, a file changed at another time."""
    return {name: STAMPS.sub(rb"", data) for name, data in files.items()}


def expected(
    generator: ReportGenerator, files: dict[str, bytes], tmp_path: Path
) -> dict[str, bytes]:
    run_batch(generator, put(tmp_path / "in", files), tmp_path / "out")
    written = unstamped(contents(tmp_path / "out"))
    return {name: data for name, data in written.items() if name != ".lock"}


def test_it_is_what_a_folder_gets(
    bucket: UPath, files: dict[str, bytes], tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    source, out = upload(bucket / "in", files), bucket / "results" / "today"
    outcome = run_batch(tiny_generator, source, out)
    assert (outcome.done, outcome.kept, len(outcome.unread)) == (5, 0, 2)
    assert downloaded(out) == expected(tiny_generator, files, tmp_path)
    again = run_batch(tiny_generator, source, out)
    assert (again.done, again.kept) == (0, 5)


def test_from_a_prefix_to_a_folder_and_back(
    bucket: UPath, files: dict[str, bytes], tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    source = upload(bucket / "in", files)
    whole = expected(tiny_generator, files, tmp_path)
    run_batch(tiny_generator, source, tmp_path / "from prefix")
    assert {**unstamped(contents(tmp_path / "from prefix")), ".lock": b""} == {
        **whole,
        ".lock": b"",
    }
    run_batch(tiny_generator, tmp_path / "in", bucket / "out")
    assert downloaded(bucket / "out") == whole


def test_parts_are_merged(
    bucket: UPath, files: dict[str, bytes], tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    source, out = upload(bucket / "in", files), bucket / "out"
    for number in (2, 1):
        run_batch(tiny_generator, source, out, BatchOptions(shard=Shard(number, 2)))
    merge_shards(out)
    written = {name: data for name, data in downloaded(out).items() if "shards/" not in name}
    assert written == expected(tiny_generator, files, tmp_path)


def test_a_killed_run_loses_nothing_and_its_records_win(
    bucket: UPath, files: dict[str, bytes], tiny_generator: ReportGenerator
) -> None:
    """Killed before the ledger was written: the records are there, and stay as they are."""
    source, out = upload(bucket / "in", files), bucket / "out"
    run_batch(tiny_generator, source, out)
    before = downloaded(out)
    for path in out.fs.find((out / "ledger").path):
        out.fs.rm_file(path)
    outcome = run_batch(tiny_generator, source, out)
    assert outcome.done == 5
    assert downloaded(out) == before


def test_of_two_writers_the_first_wins(bucket: UPath, tiny_generator: ReportGenerator) -> None:
    first, second = (ObjectResults(bucket / "out") for _ in range(2))
    record = Record("ab", ("1" * 64,), "", findings="the first")
    with (
        first.opened(tiny_generator.identity, False),
        second.opened(tiny_generator.identity, False),
    ):
        assert first.write(record, {}).findings == "the first"
        other = Record("ab", ("1" * 64,), "", findings="the second")
        assert second.write(other, {}).findings == "the first"
        # Another file came to the study: what is known of it is no longer true.
        newer = Record("ab", ("1" * 64, "2" * 64), "", findings="the third")
        assert second.write(newer, {}).findings == "the third"
        second.remember(newer)
    third = ObjectResults(bucket / "out")
    with third.opened(tiny_generator.identity, False):
        assert third.finished("ab", ("1" * 64, "2" * 64), "") == newer
        assert third.finished("ab", ("1" * 64,), "") is None


def test_what_cannot_be_is_said(
    bucket: UPath, files: dict[str, bytes], tiny_generator: ReportGenerator
) -> None:
    with pytest.raises(DataError, match="no file is below"):
        run_batch(tiny_generator, bucket / "nothing", bucket / "out")
    with pytest.raises(ConfigError, match="new prefix"):
        source = upload(bucket / "in", files)
        run_batch(tiny_generator, source, bucket / "out", BatchOptions(redo=True))
    with pytest.raises(CrossRayError, match="no-such-bucket"):
        run_batch(tiny_generator, source, parse_location("s3://no-such-bucket/out"))
    with pytest.raises(ConfigError, match="the output folder is the input folder"):
        run_batch(tiny_generator, source, parse_location(f"{source}/"))
    with pytest.raises(ConfigError, match="no output of `crossray batch`"):
        merge_shards(bucket / "else")
    with pytest.raises(ConfigError, match="no storage has gopher:// URLs"):
        parse_location("gopher://a/b")


def test_an_object_that_is_gone_fails_and_no_other(
    bucket: UPath,
    files: dict[str, bytes],
    tiny_generator: ReportGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Listed and planned, then removed before its turn came."""
    from app.batch import run

    source = upload(bucket / "in", files)
    plan_studies = run.plan_studies

    def and_lost(*arguments: object) -> object:
        found = plan_studies(*arguments)  # type: ignore[arg-type]
        (source / "ward/2.png").unlink()
        return found

    monkeypatch.setattr(run, "plan_studies", and_lost)
    outcome = run_batch(tiny_generator, source, bucket / "out")
    failed = {file.name for file in outcome.unread if file.status == "failed"}
    assert failed == {"./ward/2.png", "./broken.dcm"}
    assert outcome.done == 4


def test_file_urls_are_folders(tmp_path: Path) -> None:
    assert parse_location(f"file://{tmp_path}") == tmp_path
    assert parse_location(str(tmp_path)) == tmp_path
