"""Errors of jobs, each with its own answer in the API.

CrossRayError
└── JobError            what is asked of jobs cannot be done
    ├── NoJobs          this service takes no jobs
    ├── UnknownJob      no job of this id, or not this account's
    ├── JobGone         it was kept as long as it is
    ├── JobTooLarge     it holds more than may ever wait at a time
    ├── KeyReused       the idempotency key came with another request before
    ├── Abandoned       the service ended each time a study was being read
    └── JobsFull        as much waits as may
        └── TooManyJobs of this account
"""

from model.errors import CrossRayError

__all__ = [
    "Abandoned",
    "JobError",
    "JobGone",
    "JobTooLarge",
    "JobsFull",
    "KeyReused",
    "NoJobs",
    "TooManyJobs",
    "UnknownJob",
]


class JobError(CrossRayError):
    """What is asked of jobs cannot be done."""


class NoJobs(JobError):
    """This service takes no jobs."""


class UnknownJob(JobError):
    """No job of this id, or not this account's."""


class JobGone(JobError):
    """It was kept as long as it is."""


class JobTooLarge(JobError):
    """It holds more than may ever wait at a time."""


class KeyReused(JobError):
    """The idempotency key came with another request before."""


class Abandoned(JobError):
    """The service ended each time a study was being read."""


class JobsFull(JobError):
    """As much waits as may.

    Attributes:
        retry_after: seconds until there should be room, at the pace of the last studies.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyJobs(JobsFull):
    """As many studies of this account wait as may."""
