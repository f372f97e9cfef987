"""Jobs in a database: each study once, whoever is killed, and no longer than it is kept."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from app.job_options import JobOptions
from app.jobs.errors import (
    JobGone,
    JobsFull,
    JobTooLarge,
    KeyReused,
    TooManyJobs,
    UnknownJob,
)
from app.jobs.queue import add_job, cancel_job, find_job
from app.jobs.records import Claim, NewJob, Outcome
from app.jobs.store import JobStore, open_jobs
from app.jobs.work import (
    LEASE,
    REMEMBERED,
    claim_study,
    end_study,
    give_back,
    renew,
    sent_study,
    tidy,
)
from app.sent import Sent
from app.store.store import Store

DONE = Outcome("done", b'{"text": "clear"}')
FAILED = Outcome("failed", b'{"title": "no"}')
KEPT = 3_600_000


class Clock:
    """Stands still until it is set forward."""

    def __init__(self) -> None:
        self.at = 1_700_000_000_000

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(store: Store, clock: Clock, tmp_path: Path) -> Iterator[JobStore]:
    yield open_jobs(JobOptions(tmp_path / "jobs", KEPT), store, clock)


def new(*contents: bytes, owner: str = "ann", key: str | None = None) -> NewJob:
    """A job of one study a content."""
    studies = [Sent([BytesIO(content)], name=f"study {content!r}") for content in contents]
    return NewJob(owner, studies, {"maps": "grounded"}, key)


def claimed(jobs: JobStore, worker: str = "w") -> Claim:
    claim = claim_study(jobs, worker)
    assert claim is not None
    return claim


def test_a_study_comes_out_as_it_was_posted_and_its_files_go(jobs: JobStore) -> None:
    job = add_job(jobs, NewJob("ann", [Sent([BytesIO(b"a")], ["PA"], [BytesIO(b"b")], "Why?")], {}))
    assert find_job(jobs, job, "ann").state == "queued"
    claim = claimed(jobs)
    sent = sent_study(jobs, claim)
    contents = [[file.read() for file in files] for files in (sent.files, sent.priors)]
    assert contents == [[b"a"], [b"b"]]
    assert (sent.views, sent.indication, claim.owner) == (["PA"], "Why?", "ann")
    assert find_job(jobs, job, "ann").state == "running" and jobs.folders()
    assert end_study(jobs, claim, DONE)
    found = find_job(jobs, job, "ann", after=0)
    assert (found.state, found.done, found.failed) == ("done", 1, 0)
    assert found.studies[0].outcome == DONE.content
    assert not jobs.folders() and claim_study(jobs, "w") is None


@pytest.mark.parametrize(
    ("outcomes", "state"), [([FAILED, DONE], "done"), ([FAILED, FAILED], "failed")]
)
def test_a_job_is_done_if_any_study_is(jobs: JobStore, outcomes: list[Outcome], state: str) -> None:
    job = add_job(jobs, new(b"1", b"2"))
    for outcome in outcomes:
        assert find_job(jobs, job, None).ended is None
        end_study(jobs, claimed(jobs), outcome)
    found = find_job(jobs, job, None)
    assert (found.state, found.done + found.failed) == (state, 2)
    assert found.expires == (found.ended or 0) + KEPT


def test_a_key_names_one_request_of_one_account(jobs: JobStore, clock: Clock) -> None:
    job = add_job(jobs, new(b"1", key="k"))
    assert add_job(jobs, new(b"1", key="k")) == job
    with pytest.raises(KeyReused):
        add_job(jobs, new(b"2", key="k"))
    assert add_job(jobs, new(b"2", key="k", owner="bob")) != job
    assert add_job(jobs, new(b"1")) != add_job(jobs, new(b"1"))
    cancel_job(jobs, job, "ann")
    assert add_job(jobs, new(b"1", key="k")) == job
    clock.at += KEPT + 1
    assert add_job(jobs, new(b"2", key="k")) != job


def test_the_same_request_at_the_same_time_is_one_job(jobs: JobStore) -> None:
    together, added = threading.Barrier(4), []

    def post() -> None:
        together.wait(30)
        added.append(add_job(jobs, new(b"1", key="k")))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(added) == 4 and len(set(added)) == 1
    assert [folder.name for folder in jobs.folders()] == added[:1]


def test_jobs_take_turns(jobs: JobStore, clock: Clock) -> None:
    batch = add_job(jobs, new(b"1", b"2", b"3"))
    order = [claimed(jobs)]
    clock.at += 1
    single = add_job(jobs, new(b"4", owner="bob"))
    for _ in range(3):
        clock.at += 1
        order.append(claimed(jobs))
    assert [(claim.job, claim.number) for claim in order] == [
        (batch, 1),
        (batch, 2),
        (single, 1),
        (batch, 3),
    ]


def test_a_silent_workers_study_is_taken_over_and_its_outcome_is_not_kept(
    jobs: JobStore, clock: Clock
) -> None:
    job = add_job(jobs, new(b"1"))
    first = claimed(jobs, "first")
    clock.at += LEASE - 1
    assert renew(jobs, first)
    clock.at += LEASE
    assert claim_study(jobs, "second") is None
    clock.at += 1
    second = claimed(jobs, "second")
    assert (first.attempts, second.attempts) == (1, 2)
    assert not renew(jobs, first) and not end_study(jobs, first, FAILED)
    assert end_study(jobs, second, DONE)
    assert find_job(jobs, job, None).state == "done"


def test_a_study_given_back_was_not_an_attempt(jobs: JobStore) -> None:
    job = add_job(jobs, new(b"1"))
    give_back(jobs, claimed(jobs))
    assert find_job(jobs, job, None).state == "queued"
    claim = claimed(jobs)
    assert claim.attempts == 1
    assert sent_study(jobs, claim).files[0].read() == b"1"


def test_every_study_is_read_once_by_many_workers(jobs: JobStore) -> None:
    contents = [bytes([number]) for number in range(6)]
    names = [add_job(jobs, new(*contents[:3])), add_job(jobs, new(*contents[3:]))]
    read: list[tuple[str, int]] = []

    def work(worker: str) -> None:
        while len(read) < 6:
            if claim := claim_study(jobs, worker):
                read.append((claim.job, claim.number))
                assert end_study(jobs, claim, DONE)

    threads = [threading.Thread(target=work, args=(f"worker {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(read) == sorted((name, number) for name in names for number in (1, 2, 3))
    assert {find_job(jobs, name, None).state for name in names} == {"done"}


def test_a_canceled_job_keeps_what_is_done(jobs: JobStore) -> None:
    job = add_job(jobs, new(b"1", b"2", b"3"))
    end_study(jobs, claimed(jobs), DONE)
    claim = claimed(jobs)
    cancel_job(jobs, job, "ann")
    assert not renew(jobs, claim) and not end_study(jobs, claim, DONE)
    found = find_job(jobs, job, "ann", after=0)
    assert found.state == "canceled"
    assert [study.state for study in found.studies] == ["done", "canceled", "canceled"]
    assert not jobs.folders() and claim_study(jobs, "w") is None
    cancel_job(jobs, job, "ann")
    assert find_job(jobs, job, "ann").sequence == found.sequence


def test_changes_after_a_sequence_are_all_changes_after_it(jobs: JobStore) -> None:
    """Who was away between any two changes has missed nothing."""
    job = add_job(jobs, new(b"1", b"2"))
    seen = [find_job(jobs, job, None, after=0).sequence]
    for outcome in (DONE, FAILED):
        claim = claimed(jobs)
        seen.append(find_job(jobs, job, None, after=0).sequence)
        end_study(jobs, claim, outcome)
        seen.append(find_job(jobs, job, None, after=0).sequence)
    assert seen == sorted(set(seen))
    for after in range(seen[-1]):
        found = find_job(jobs, job, None, after=after)
        assert all(after < study.sequence < found.sequence for study in found.studies)
        for number, sequence in ((1, seen[2] - 1), (2, seen[4] - 1)):
            assert (number in {s.number for s in found.studies}) == (after < sequence)


def test_only_its_owner_finds_a_job(jobs: JobStore) -> None:
    job = add_job(jobs, new(b"1"))
    for look in (find_job, cancel_job):
        with pytest.raises(UnknownJob):
            look(jobs, job, "bob")
        with pytest.raises(UnknownJob):
            look(jobs, "0" * 32, "ann")
    assert find_job(jobs, job, None).owner == "ann"


def test_results_are_kept_so_long_and_then_gone(jobs: JobStore, clock: Clock) -> None:
    job = add_job(jobs, new(b"1"))
    end_study(jobs, claimed(jobs), DONE)
    clock.at += KEPT
    tidy(jobs)
    assert find_job(jobs, job, "ann", after=0).studies[0].outcome == DONE.content
    clock.at += 1
    for _ in range(2):  # before anybody has tidied, and after
        with pytest.raises(JobGone):
            find_job(jobs, job, "ann")
        tidy(jobs)
    clock.at += REMEMBERED
    tidy(jobs)
    with pytest.raises(UnknownJob):
        find_job(jobs, job, "ann")


def test_files_that_no_job_waits_for_are_removed(jobs: JobStore, clock: Clock) -> None:
    waits = add_job(jobs, new(b"1"))
    left = jobs.options.folder / ("f" * 32)
    left.mkdir()
    clock.at = int(left.stat().st_mtime * 1000)
    tidy(jobs)
    assert {folder.name for folder in jobs.folders()} == {waits, left.name}
    clock.at += 3_601_000
    tidy(jobs)
    assert {folder.name for folder in jobs.folders()} == {waits}


def test_what_waits_is_bounded_and_the_wait_is_told(jobs: JobStore, clock: Clock) -> None:
    options = replace(jobs.options, waiting=4, waiting_per_account=3, quota_bytes=40)
    jobs = replace(jobs, options=options)
    add_job(jobs, new(b"done"))
    claim = claimed(jobs)
    clock.at += 7_000
    end_study(jobs, claim, DONE)  # in seven seconds
    for studies in ([b"1"] * 4, [b"x" * 41]):
        with pytest.raises(JobTooLarge):
            add_job(jobs, new(*studies))
    add_job(jobs, new(b"1", b"2"))
    with pytest.raises(TooManyJobs) as own:
        add_job(jobs, new(b"1", b"2"))
    assert own.value.retry_after == 7
    with pytest.raises(JobsFull, match="at most 40") as bytes_:
        add_job(jobs, new(b"x" * 39, owner="bob"))
    assert not isinstance(bytes_.value, TooManyJobs)
    add_job(jobs, new(b"1", owner="bob"))
    with pytest.raises(JobsFull, match="at most 4 may") as all_:
        add_job(jobs, new(b"1", b"2", owner="bob"))
    assert not isinstance(all_.value, TooManyJobs) and all_.value.retry_after == 7
    assert len(jobs.folders()) == 2


def test_without_a_store_jobs_have_a_database_of_their_own(tmp_path: Path) -> None:
    options = JobOptions(tmp_path / "jobs")
    first = open_jobs(options, None)
    job = add_job(first, new(b"1"))
    first.database.close()
    again = open_jobs(options, None)
    assert sent_study(again, claimed(again)).files[0].read() == b"1"
    assert find_job(again, job, "ann").state == "running"
    again.database.close()
