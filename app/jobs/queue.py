"""Jobs as those see them who post them: added once, watched, canceled."""

import hashlib
import json
import math
import secrets
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, undefer

from app.jobs.errors import (
    JobGone,
    JobsFull,
    JobTooLarge,
    KeyReused,
    TooManyJobs,
    UnknownJob,
)
from app.jobs.records import OPEN, Job, JobStudy, NewJob, State, StudyCounts
from app.jobs.store import JobStore
from app.sent import Sent
from app.store.tables import JobRow, JobStudyRow

__all__ = ["add_job", "cancel_job", "count_studies", "end_job", "find_job", "job_row", "waiting"]

LATEST = 20
"""Studies by whose time the wait is estimated."""
UNKNOWN_PACE = 5_000
"""Milliseconds a study is taken for where none has been done yet."""
LONGEST_WAIT = 3600
"""Seconds; what lies further ahead nobody knows."""


def add_job(jobs: JobStore, new: NewJob) -> str:
    """Put a job into the queue. The same request with the same key is the same job.

    Returns:
        The job's id, which nobody can guess.

    Raises:
        KeyReused: the key came with another request before.
        JobsFull, TooManyJobs: as much waits as may.
        JobTooLarge: it could never wait.
        StoreFull, StoreError: its files cannot be written; nothing of it is kept then.
    """
    given = [_given(sent) for sent in new.studies]
    fingerprint = hashlib.sha256(_canonical([given, new.options]).encode()).hexdigest()
    with jobs.database.reading() as session:
        if known := _same_request(jobs, session, new, fingerprint):
            return known
        size = sum(_size(file) for sent in new.studies for file in _files(sent))
        _check_room(jobs, session, new, size)
    row, studies = _rows(jobs, new, given, fingerprint)
    row.size, job = size, row.id
    try:
        _write_files(jobs, job, new)
        _insert(jobs, new, row, studies)
    except IntegrityError:
        jobs.remove_files(job)
        # The same request has come a moment ago, on another connection.
        with jobs.database.reading() as session:
            if known := _same_request(jobs, session, new, fingerprint):
                return known
        raise
    except BaseException:
        jobs.remove_files(job)
        raise
    return job


def find_job(jobs: JobStore, job: str, owner: str | None, after: int | None = None) -> Job:
    """A job with its studies.

    Args:
        owner: whose it must be; None: anybody's.
        after: only the studies changed later than this, with their outcomes; None: all, without.

    Raises:
        UnknownJob: there is none, or it is somebody else's.
        JobGone: its results are not kept any more.
    """
    with jobs.database.reading() as session:
        row = job_row(jobs, session, job, owner)
        query = select(JobStudyRow).where(JobStudyRow.job == job)
        if after is not None:
            query = query.where(JobStudyRow.sequence > after)
            query = query.options(undefer(JobStudyRow.outcome))
        found = session.execute(query.order_by(JobStudyRow.number)).scalars()
        return _job(jobs, row, tuple(_study(study, after is not None) for study in found))


def cancel_job(jobs: JobStore, job: str, owner: str | None) -> None:
    """Let the studies of a job be that have not ended; what is done of it stays.

    A job that has ended is left as it is. Raises as for `find_job`.
    """
    with jobs.database.writing() as session:
        row = job_row(jobs, session, job, owner, lock=True)
        if row.state not in OPEN:
            return
        row.sequence += 1
        session.execute(
            update(JobStudyRow)
            .where(JobStudyRow.job == job, JobStudyRow.state.in_(OPEN))
            .values(state="canceled", sequence=row.sequence, worker=None, lease=None)
        )
        end_job(jobs, row, "canceled")
    jobs.remove_files(job)


def end_job(jobs: JobStore, row: JobRow, state: State) -> None:
    """Note that a job has ended; its files are to be removed once that is committed."""
    row.state = state
    row.sequence += 1
    row.updated = row.ended = jobs.now()


def job_row(
    jobs: JobStore, session: Session, job: str, owner: str | None, lock: bool = False
) -> JobRow:
    """A job's row; Raises as for `find_job`.

    Args:
        lock: nobody else may change the job or its studies until the transaction ends.
    """
    row = session.get(JobRow, job, with_for_update=lock or None)
    if row is None or (owner is not None and row.owner != owner):
        raise UnknownJob("no such job is here: see whether it is this account's")
    if row.gone or _is_old(jobs, row):
        raise JobGone("the results of this job are not kept any more: post the studies again")
    return row


def count_studies(jobs: JobStore) -> StudyCounts:
    """Studies that wait or are being read, of all jobs."""
    query = select(JobStudyRow.state, func.count()).where(JobStudyRow.state.in_(OPEN))
    with jobs.database.reading() as session:
        found = session.execute(query.group_by(JobStudyRow.state)).all()
    counts = {str(state): int(count) for state, count in found}
    return StudyCounts(counts.get("queued", 0), counts.get("running", 0))


def waiting(session: Session, owner: str | None = None) -> int:
    """Studies that have not ended, of one account or of all."""
    query = select(func.count()).select_from(JobStudyRow).where(JobStudyRow.state.in_(OPEN))
    if owner is not None:
        query = query.join(JobRow, JobRow.id == JobStudyRow.job).where(JobRow.owner == owner)
    return session.scalar(query) or 0


def _is_old(jobs: JobStore, row: JobRow) -> bool:
    return row.ended is not None and row.ended < jobs.now() - jobs.options.kept


def _same_request(jobs: JobStore, session: Session, new: NewJob, fingerprint: str) -> str | None:
    """The job that this key has brought before.

    Raises:
        KeyReused: it was another request.
    """
    if new.key is None:
        return None
    query = select(JobRow).where(JobRow.owner == new.owner, JobRow.key == new.key)
    known = session.scalar(query)
    if known is None or _is_old(jobs, known):
        return None
    if known.fingerprint != fingerprint:
        raise KeyReused(
            "this Idempotency-Key came with other studies or options before: use a new key for a "
            "new request"
        )
    return known.id


def _rows(
    jobs: JobStore, new: NewJob, given: list[dict[str, Any]], fingerprint: str
) -> tuple[JobRow, list[JobStudyRow]]:
    job, now = secrets.token_hex(16), jobs.now()
    row = JobRow(
        id=job,
        owner=new.owner,
        key=new.key,
        fingerprint=fingerprint,
        options=_canonical(new.options),
        state="queued",
        created=now,
        updated=now,
        served=now,
        sequence=1,
        total=len(given),
        done=0,
        failed=0,
        size=0,
        gone=False,
    )
    studies = [
        JobStudyRow(
            job=job,
            number=number,
            given=json.dumps(each),
            state="queued",
            sequence=0,
            attempts=0,
        )
        for number, each in enumerate(given, 1)
    ]
    return row, studies


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _check_room(jobs: JobStore, session: Session, new: NewJob, size: int) -> None:
    options, studies = jobs.options, len(new.studies)
    own, quota = options.waiting_per_account, options.quota_bytes
    most = min(options.waiting, own or options.waiting)
    if studies > most:
        raise JobTooLarge(f"{studies} studies in one job: at most {most} may wait")
    if quota and size > quota:
        raise JobTooLarge(f"{size} bytes in one job: the files of jobs may take {quota}")
    in_all = waiting(session)
    if (over := in_all + studies - options.waiting) > 0:
        raise JobsFull(
            f"{in_all} studies are waiting and at most {options.waiting} may",
            _seconds_until(session, over),
        )
    if own and (over := (of_owner := waiting(session, new.owner)) + studies - own) > 0:
        raise TooManyJobs(
            f"{of_owner} studies of this account are waiting and at most {own} may",
            _seconds_until(session, over),
        )
    query = select(func.coalesce(func.sum(JobRow.size), 0)).where(JobRow.state.in_(OPEN))
    taken = int(session.scalar(query) or 0)
    if quota and (more := taken + size - quota) > 0:
        raise JobsFull(
            f"the files of waiting jobs take {taken} bytes and at most {quota} may",
            _seconds_until(session, math.ceil(in_all * more / taken)),
        )


def _seconds_until(session: Session, studies: int) -> int:
    """Until so many studies have ended, at the pace of the latest."""
    took = JobStudyRow.ended - JobStudyRow.begun
    latest = (
        select(took)
        .where(JobStudyRow.ended.is_not(None), JobStudyRow.begun.is_not(None))
        .order_by(JobStudyRow.ended.desc())
        .limit(LATEST)
    )
    times = [time for time in session.execute(latest).scalars() if time is not None]
    pace = sum(times) / len(times) if times else UNKNOWN_PACE
    running = select(func.count()).where(JobStudyRow.state == "running")
    workers = max(1, session.scalar(running) or 0)
    return min(LONGEST_WAIT, max(1, math.ceil(studies * pace / workers / 1000)))


def _given(sent: Sent) -> dict[str, Any]:
    """What a study consists of, as JSON: its files by their hashes."""
    return {
        "files": [_hash(file) for file in sent.files],
        "priors": [_hash(file) for file in sent.priors],
        "views": list(sent.views),
        "indication": sent.indication,
        "name": sent.name,
    }


def _files(sent: Sent) -> Iterator[BinaryIO]:
    yield from sent.files
    yield from sent.priors


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _write_files(jobs: JobStore, job: str, new: NewJob) -> None:
    files = jobs.files(job)
    for sent in new.studies:
        for file in _files(sent):
            file.seek(0)
            files.put(file.read())


def _insert(jobs: JobStore, new: NewJob, row: JobRow, studies: list[JobStudyRow]) -> None:
    with jobs.database.writing() as session:
        _check_room(jobs, session, new, row.size)  # others may have come while files were written
        session.execute(
            update(JobRow)
            .where(JobRow.owner == row.owner, JobRow.key == row.key)
            .where(JobRow.ended < row.created - jobs.options.kept)
            .values(key=None)
        )
        session.add(row)
        session.flush()  # the studies refer to it
        session.add_all(studies)


def _job(jobs: JobStore, row: JobRow, studies: tuple[JobStudy, ...]) -> Job:
    return Job(
        id=row.id,
        owner=row.owner,
        state=row.state,  # type: ignore[arg-type]  # the column holds no other
        created=row.created,
        updated=row.updated,
        ended=row.ended,
        expires=None if row.ended is None else row.ended + jobs.options.kept,
        sequence=row.sequence,
        total=row.total,
        done=row.done,
        failed=row.failed,
        studies=studies,
    )


def _study(row: JobStudyRow, whole: bool) -> JobStudy:
    outcome = row.outcome if whole else None
    return JobStudy(
        number=row.number,
        name=json.loads(row.given)["name"],
        state=row.state,  # type: ignore[arg-type]
        sequence=row.sequence,
        outcome=None if outcome is None else zlib.decompress(outcome),
    )
