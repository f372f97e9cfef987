"""A study of a job read by the service: its report, or the problem that is told instead."""

import logging
from collections.abc import Callable

from app.accounts.roles import LOCAL
from app.api.problems import INTERNAL, NotReady, kind_of, problem_of
from app.api.service import Options, Service
from app.jobs.errors import Abandoned
from app.jobs.records import Claim, Outcome
from app.jobs.work import sent_study
from app.store.errors import StoreUnavailable
from app.store.records import Actor

__all__ = ["work_of"]

log = logging.getLogger("crossray.jobs")
ATTEMPTS = 3
"""So often a study is begun whose worker ended each time."""


def work_of(service: Service) -> Callable[[Claim, Callable[[], bool]], Outcome | None]:
    """What a worker of a service does with a study."""

    def work(claim: Claim, unwanted: Callable[[], bool]) -> Outcome | None:
        try:
            report = _report(service, claim)
        except NotReady:
            return None
        except StoreUnavailable:
            raise  # nothing is said of the study: it is taken on again
        except Exception as error:
            # A worker's one broad catch: the next study does not suffer from this one.
            kind = kind_of(error)
            if kind is INTERNAL:
                log.error("a job's study failed", exc_info=error)
            detail = "The fault is the service's own." if kind is INTERNAL else str(error)
            problem = problem_of(kind, detail, f"/v1/jobs/{claim.job}")
            return Outcome("failed", problem.model_dump_json().encode())
        return Outcome("done", report)

    return work


def _report(service: Service, claim: Claim) -> bytes:
    if claim.attempts > ATTEMPTS:
        raise Abandoned(
            f"the service ended {ATTEMPTS} times while it read this study: tell its operator"
        )
    actor = LOCAL if claim.owner == LOCAL.name else Actor(claim.owner, frozenset())
    sent, options = sent_study(service.jobs, claim), Options(**claim.options)
    return service.report(sent, options, actor, "job").model_dump_json().encode()
