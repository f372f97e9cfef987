"""The endpoints of jobs: studies that are posted now and reported on when their turn comes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Form, Header, Path, Query, Response
from fastapi.sse import format_sse_event
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from app.api.description import JOB, RAW_BODY, answered
from app.api.forms import Posted, Reading, ServiceHere, check_sent
from app.api.gate import MayEdit, MayRead
from app.api.job_schemas import MAX_STUDIES, JobAnswer, StudyPart, job_answer, study_answer
from app.api.problems import TooManyFiles, documented
from app.api.service import Service
from app.api.streaming import EVENTS, SILENT_SECONDS
from app.api.uploads import StudyRoute
from app.jobs.errors import JobError
from app.jobs.queue import add_job, cancel_job, find_job
from app.jobs.records import OPEN, Job, NewJob
from app.jobs.store import JobStore
from app.sent import Sent
from app.store.errors import StoreError
from app.store.records import Actor
from model.errors import DataError

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=StudyRoute)

POLL_SECONDS = 0.5
"""Between looks at a job that is watched: another service may be at it."""
FOUND = documented(401, 403, 404, 410, 422, 429, 500, 503)


def _jobs(service: ServiceHere) -> JobStore:
    return service.jobs


JobsHere = Annotated[JobStore, Depends(_jobs)]
JobId = Annotated[str, Path(alias="job", pattern=r"^[0-9a-f]{32}$", description="its id")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r'^"?[!#-~]{1,255}"?$',
        description="any word of the client for this request, such as a UUID: sent again with the "
        "same studies it gives the same job, so a request may be repeated when no answer came",
    ),
]


def _sent(
    posted: Posted,
    service: ServiceHere,
    studies: Annotated[
        str | None,
        Form(
            description=f"of a job of several studies, at most {MAX_STUDIES}: a JSON list of "
            "StudyPart"
        ),
    ] = None,
) -> list[Sent]:
    """The studies of a request, one where `studies` does not say how many."""
    if studies is None:
        every = [posted]
    elif posted.views or posted.indication or posted.name:
        raise DataError("views, indication and name of several studies are given in `studies`")
    else:
        every = _split(_parts(studies), posted.files, posted.priors)
    for number, sent in enumerate(every, 1):
        try:
            check_sent(sent, service.settings.max_files)
        except (DataError, TooManyFiles) as error:
            raise type(error)(f"study {number}: {error}") from error
    return every


def _parts(text: str) -> list[StudyPart]:
    try:
        parts = TypeAdapter(list[StudyPart]).validate_json(text)
    except ValidationError as error:
        # The offending values stay out: a name may be a patient's.
        faults = [f"{' '.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise DataError(f"`studies` is no JSON list of studies: {'; '.join(faults)}") from error
    if not 1 <= len(parts) <= MAX_STUDIES:
        raise DataError(f"{len(parts)} studies in one job: from 1 to {MAX_STUDIES} may be")
    return parts


def _split(
    studies: list[StudyPart], files: Sequence[BinaryIO], priors: Sequence[BinaryIO]
) -> list[Sent]:
    every, own, earlier = [], 0, 0
    for part in studies:
        ends = own + part.files, earlier + part.priors
        images, before = files[own : ends[0]], priors[earlier : ends[1]]
        every.append(Sent(images, part.views, before, part.indication, part.name))
        own, earlier = ends
    if (own, earlier) != (len(files), len(priors)):
        raise DataError(
            f"`studies` counts {own} files and {earlier} priors, and {len(files)} and "
            f"{len(priors)} were sent"
        )
    return every


@router.post(
    "/jobs",
    status_code=202,
    responses=answered(JOB, 202) | documented(400, 401, 403, 404, 413, 422, 429, 500, 503, 507),
    openapi_extra=RAW_BODY,
    summary="Post studies to be reported on when their turn comes",
)
def create_job(
    studies: Annotated[list[Sent], Depends(_sent)],
    service: ServiceHere,
    reading: Reading,
    actor: MayEdit,
    response: Response,
    key: Key = None,
) -> JobAnswer:
    """One study as for POST /v1/reports, or several with `studies`. The files are kept until the
    job ends, its results for a set time. Reports for which somebody waits go first."""
    jobs = service.jobs
    options = {name: value for name, value in asdict(reading).items() if name != "pixels"}
    word = None if key is None else key.strip('"')
    job = add_job(jobs, NewJob(actor.name, studies, options, word))
    if service.runner is not None:
        service.runner.posted()
    response.headers["Location"] = f"/v1/jobs/{job}"
    return job_answer(find_job(jobs, job, actor.name))


@router.get("/jobs/{job}", responses=FOUND, summary="How far a job is, and what came of it")
def read_job(
    job: JobId,
    jobs: JobsHere,
    actor: MayRead,
    response: Response,
    reports: Annotated[
        bool, Query(description="false: without the reports, to see how far it is")
    ] = True,
) -> JobAnswer:
    """Who posted it sees it, and the administrator."""
    found = find_job(jobs, job, _owner(actor), after=-1)
    if found.state in OPEN:
        response.headers["Retry-After"] = "1"
    return job_answer(found, problems_only=not reports)


@router.delete("/jobs/{job}", responses=FOUND, summary="Cancel a job")
def delete_job(job: JobId, jobs: JobsHere, actor: MayRead, service: ServiceHere) -> JobAnswer:
    """Its studies that have not ended are let be and its files removed; what is done stays. A job
    that has ended is left as it is."""
    cancel_job(jobs, job, _owner(actor))
    if service.runner is not None:
        service.runner.canceled()
    return job_answer(find_job(jobs, job, _owner(actor), after=-1), problems_only=True)


@router.get(
    "/jobs/{job}/events",
    response_class=StreamingResponse,
    responses=FOUND
    | {
        200: {"content": {EVENTS: {"schema": {"type": "string"}}}},
        204: {"description": "the job has ended and all was sent before"},
    },
    summary="A job's changes as they come, as server-sent events",
)
def watch_job(
    job: JobId,
    jobs: JobsHere,
    actor: MayRead,
    service: ServiceHere,
    last: Annotated[
        int,
        Header(alias="Last-Event-ID", ge=0, description="only what came after this event"),
    ] = 0,
) -> Response:
    """`study`: a study has been begun or has ended, with its report or problem. `job`: how far the
    job is; the last one has its final state, and the stream ends."""
    found = find_job(jobs, job, _owner(actor), after=last)
    if found.state not in OPEN and found.sequence <= last:
        return Response(status_code=204)  # EventSource does not come back
    headers = {"X-Accel-Buffering": "no"}
    events = _events(service, found, _owner(actor), last)
    return StreamingResponse(events, headers=headers, media_type=EVENTS)


async def _events(service: Service, job: Job, owner: str | None, last: int) -> AsyncIterator[bytes]:
    """What changed after event `last`, until the job ends or the service stops."""
    looks = 0
    while True:
        if job.sequence > last:
            for study in sorted(job.studies, key=lambda study: study.sequence):
                yield _event("study", study_answer(study).model_dump_json(), study.sequence)
            last, looks = job.sequence, 0
            answer = job_answer(job, problems_only=True).model_copy(update={"studies": []})
            yield _event("job", answer.model_dump_json(), last)
        if job.state not in OPEN or service.stopping.is_set():
            return
        await asyncio.sleep(POLL_SECONDS)
        looks += 1
        if looks * POLL_SECONDS % SILENT_SECONDS == 0:
            yield format_sse_event(comment="waiting")
        try:
            job = await run_in_threadpool(find_job, service.jobs, job.id, owner, last)
        except (JobError, StoreError):
            return  # the client comes back and gets the rest


def _event(name: str, data: str, number: int) -> bytes:
    return format_sse_event(event=name, data_str=data, id=str(number))


def _owner(actor: Actor) -> str | None:
    """Whose jobs somebody sees; None: everybody's."""
    return None if "admin" in actor.roles else actor.name
