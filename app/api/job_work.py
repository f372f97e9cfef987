"""A study of a job read by the service: its report, or the problem that takes its place."""

import math
from collections.abc import Callable

from app.accounts.roles import LOCAL
from app.api.options import Options
from app.api.problems import problem_for
from app.api.service import Service
from app.jobs.errors import Abandoned, NoJobs
from app.jobs.queue import count_studies
from app.jobs.records import Claim, Outcome
from app.jobs.work import sent_study
from app.store.errors import StoreError, StoreUnavailable
from app.store.records import Actor
from app.workers.errors import NotReady, Unwanted

__all__ = ["jobs_waiting", "work_of"]

ATTEMPTS = 3
"""So often a study is begun whose worker ended each time."""


def jobs_waiting(service: Service) -> float:
    """Studies of jobs that have not been begun; not a number while their store does not answer."""
    try:
        return count_studies(service.jobs).queued
    except NoJobs:
        return 0
    except (NotReady, StoreError):
        return math.nan


def work_of(service: Service) -> Callable[[Claim, Callable[[], bool]], Outcome | None]:
    """What a worker of a service does with a study."""

    def work(claim: Claim, unwanted: Callable[[], bool]) -> Outcome | None:
        if claim.attempts == 1:
            waited = service.jobs.now() - claim.posted
            service.metrics.job_wait_seconds.observe(waited / 1000)
        outcome = read(claim, unwanted)
        if outcome is not None:
            service.metrics.job_studies.labels(outcome.state).inc()
        return outcome

    def read(claim: Claim, unwanted: Callable[[], bool]) -> Outcome | None:
        try:
            report = _report(service, claim, unwanted)
        except (NotReady, Unwanted):
            return None
        except StoreUnavailable:
            raise  # nothing is said of the study: it is taken on again
        except Exception as error:
            # A worker's one broad catch: the next study does not suffer from this one.
            problem = problem_for(error, f"/v1/jobs/{claim.job}")
            return Outcome("failed", problem.model_dump_json().encode())
        return Outcome("done", report)

    return work


def _report(service: Service, claim: Claim, unwanted: Callable[[], bool]) -> bytes:
    def watch(text: str) -> bool:
        return not unwanted()

    if claim.attempts > ATTEMPTS:
        raise Abandoned(
            f"the service ended {ATTEMPTS} times while it read this study: tell its operator"
        )
    actor = LOCAL if claim.owner == LOCAL.name else Actor(claim.owner, frozenset())
    sent, options = sent_study(service.jobs, claim), Options(**claim.options)
    return service.report(sent, options, actor, "job", watch).model_dump_json().encode()
