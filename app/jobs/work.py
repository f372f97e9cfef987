"""Jobs as workers see them: a study is taken on for a while, then given back or ended.

A worker that is killed renews nothing, and its study is taken on by another once its lease has run
out. Whoever changes a job or its studies holds the lock of the job's row first.
"""

import io
import json
import zlib

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from app.jobs.queue import end_job
from app.jobs.records import ENDED, OPEN, Claim, Outcome
from app.jobs.store import JobStore
from app.sent import Sent
from app.store.tables import JobRow, JobStudyRow

__all__ = ["LEASE", "claim_study", "end_study", "give_back", "held", "renew", "sent_study", "tidy"]

LEASE = 20_000
"""Milliseconds for which a worker that says nothing is taken to be alive."""
DAY = 86_400_000
REMEMBERED = 30 * DAY
"""For which a job that is gone is distinguished from one that never was."""
ORPHANED = 3600
"""Seconds after which files without a job are no longer being posted."""


def claim_study(jobs: JobStore, worker: str) -> Claim | None:
    """Take on the next study, one of the job that has not had its turn for longest.

    Returns:
        None where nothing waits.
    """
    now = jobs.now()
    free = or_(
        JobStudyRow.state == "queued",
        (JobStudyRow.state == "running") & (JobStudyRow.lease < now),
    )
    waits = select(JobStudyRow).where(JobStudyRow.job == JobRow.id, free).exists()
    with jobs.database.reading() as session:
        if session.scalar(select(JobRow.id).where(JobRow.state.in_(OPEN), waits).limit(1)) is None:
            return None  # without the write lock, which is asked for every second
    with jobs.database.writing() as session:
        job = session.scalar(
            select(JobRow)
            .where(JobRow.state.in_(OPEN), waits)
            .order_by(JobRow.served, JobRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if job is None:
            return None
        study = session.scalar(
            select(JobStudyRow)
            .where(JobStudyRow.job == job.id, free)
            .order_by(JobStudyRow.number)
            .limit(1)
        )
        if study is None:
            return None
        _begin(job, study, worker, now)
        return Claim(
            job=job.id,
            number=study.number,
            worker=worker,
            owner=job.owner,
            posted=job.created,
            attempts=study.attempts,
            given=json.loads(study.given),
            options=json.loads(job.options),
        )


def sent_study(jobs: JobStore, claim: Claim) -> Sent:
    """A study with its files.

    Raises:
        StoreError: a file is damaged or gone.
    """
    files, given = jobs.files(claim.job), claim.given
    return Sent(
        [io.BytesIO(files.read(name)) for name in given["files"]],
        given["views"],
        [io.BytesIO(files.read(name)) for name in given["priors"]],
        given["indication"],
        given["name"],
    )


def end_study(jobs: JobStore, claim: Claim, outcome: Outcome) -> bool:
    """Note what came of a study.

    Returns:
        False where it was canceled or taken over meanwhile: the outcome is not kept then.
    """
    with jobs.database.writing() as session:
        held_rows = _held(session, claim)
        if held_rows is None:
            return False
        job, study = held_rows
        job.sequence += 1
        job.updated = study.ended = jobs.now()
        study.state, study.sequence = outcome.state, job.sequence
        study.worker = study.lease = None
        study.outcome = zlib.compress(outcome.content)
        if outcome.state == "done":
            job.done += 1
        else:
            job.failed += 1
        ended = job.done + job.failed == job.total
        if ended:
            end_job(jobs, job, "done" if job.done else "failed")
        else:
            job.sequence += 1
    if ended:
        jobs.remove_files(claim.job)
    return True


def give_back(jobs: JobStore, claim: Claim) -> None:
    """Let another worker take on a study; this attempt does not count."""
    with jobs.database.writing() as session:
        held_rows = _held(session, claim)
        if held_rows is None:
            return
        job, study = held_rows
        job.sequence += 2
        study.state, study.sequence = "queued", job.sequence - 1
        study.worker = study.lease = study.begun = None
        study.attempts -= 1
        if job.done + job.failed == 0 and not _running(session, job.id):
            job.state = "queued"


def renew(jobs: JobStore, claim: Claim) -> bool:
    """Say that a study is still being read; False where it was canceled or taken over."""
    with jobs.database.writing() as session:
        result = session.execute(
            update(JobStudyRow)
            .where(
                JobStudyRow.job == claim.job,
                JobStudyRow.number == claim.number,
                JobStudyRow.worker == claim.worker,
                JobStudyRow.state == "running",
            )
            .values(lease=jobs.now() + LEASE)
            .returning(JobStudyRow.number)
        )
        return result.scalar() is not None


def held(jobs: JobStore, claim: Claim) -> bool:
    """Whether a study is still this worker's; changes nothing."""
    with jobs.database.reading() as session:
        study = session.get(JobStudyRow, (claim.job, claim.number))
        return study is not None and study.worker == claim.worker


def tidy(jobs: JobStore) -> None:
    """Remove results that were kept long enough, and files that no waiting job needs."""
    now = jobs.now()
    with jobs.database.writing() as session:
        old = JobRow.ended < now - jobs.options.kept
        names = list(session.execute(select(JobRow.id).where(old, ~JobRow.gone)).scalars())
        for name in names:
            session.execute(delete(JobStudyRow).where(JobStudyRow.job == name))
            session.execute(
                update(JobRow).where(JobRow.id == name).values(gone=True, key=None, options="{}")
            )
        forgotten = JobRow.ended < now - jobs.options.kept - REMEMBERED
        session.execute(delete(JobRow).where(JobRow.gone, forgotten))
    for folder in jobs.folders():
        with jobs.database.reading() as session:
            row = session.get(JobRow, folder.name)
            young = folder.stat().st_mtime > now / 1000 - ORPHANED
            needed = young if row is None else row.state not in ENDED
        if not needed:
            jobs.remove_files(folder.name)


def _begin(job: JobRow, study: JobStudyRow, worker: str, now: int) -> None:
    job.state, job.served, job.updated = "running", now, now
    job.sequence += 2
    study.state, study.sequence = "running", job.sequence - 1
    study.worker, study.begun, study.lease = worker, now, now + LEASE
    study.attempts += 1


def _held(session: Session, claim: Claim) -> tuple[JobRow, JobStudyRow] | None:
    """The rows of a study that is still this worker's, the job's locked."""
    job = session.get(JobRow, claim.job, with_for_update=True)
    study = session.get(JobStudyRow, (claim.job, claim.number), populate_existing=True)
    if job is None or study is None or study.worker != claim.worker:
        return None
    return job, study


def _running(session: Session, job: str) -> bool:
    session.flush()
    query = select(JobStudyRow.number).where(JobStudyRow.job == job, JobStudyRow.state == "running")
    return session.scalar(query.limit(1)) is not None
