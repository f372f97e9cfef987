"""The API's JSON of jobs."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.api.forms import MAX_INDICATION, MAX_NAME, View
from app.api.schemas import Problem, ReportAnswer
from app.api.study_schemas import instant
from app.jobs.records import Job, JobStudy, State

__all__ = ["MAX_STUDIES", "JobAnswer", "JobStudyAnswer", "StudyPart", "job_answer", "study_answer"]

MAX_STUDIES = 200
"""Of one job."""


class StudyPart(BaseModel):
    """One study of a job of several, and how many of the request's files are its."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: int = Field(ge=1, description="so many of `files` are its images, in their order")
    priors: int = Field(default=0, ge=0, description="and so many of `priors`")
    views: list[View] = Field(default=[], description="as the form field of one study")
    indication: Annotated[str, Field(max_length=MAX_INDICATION)] = ""
    name: Annotated[str, Field(max_length=MAX_NAME)] = ""


class JobStudyAnswer(BaseModel):
    """One study of a job."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(description="in its job, from 1")
    name: str = Field(description="as it was posted")
    state: State
    report: ReportAnswer | None = Field(description="of a study that is done")
    problem: Problem | None = Field(description="of one that failed")


class ProgressCounts(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(frozen=True)

    studies: int
    done: int
    failed: int


class JobAnswer(BaseModel):
    """A job, and what has come of it so far."""

    model_config = ConfigDict(frozen=True)

    id: str
    state: State = Field(
        description="queued until its first study is begun, running until its last has ended; then "
        "done if any study is done, failed if none is, or canceled"
    )
    created: str = Field(description="ISO 8601, UTC")
    updated: str = Field(description="ISO 8601, UTC")
    ended: str | None = Field(description="null before the end")
    expires: str | None = Field(description="when its results will be gone; null before the end")
    progress: ProgressCounts
    studies: list[JobStudyAnswer] = Field(description="in the order in which they were posted")


def job_answer(job: Job, problems_only: bool = False) -> JobAnswer:
    """A job as JSON.

    Args:
        problems_only: leave the reports out.
    """
    return JobAnswer(
        id=job.id,
        state=job.state,
        created=instant(job.created),
        updated=instant(job.updated),
        ended=None if job.ended is None else instant(job.ended),
        expires=None if job.expires is None else instant(job.expires),
        progress=ProgressCounts(studies=job.total, done=job.done, failed=job.failed),
        studies=[study_answer(study, problems_only) for study in job.studies],
    )


def study_answer(study: JobStudy, problems_only: bool = False) -> JobStudyAnswer:
    """A study of a job as JSON; Args as for `job_answer`."""
    content = study.outcome
    report = None if content is None or study.state != "done" or problems_only else content
    problem = None if content is None or study.state != "failed" else content
    return JobStudyAnswer(
        number=study.number,
        name=study.name,
        state=study.state,
        report=None if report is None else ReportAnswer.model_validate_json(report),
        problem=None if problem is None else Problem.model_validate_json(problem),
    )
