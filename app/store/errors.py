"""Errors of the store, each with its own answer in the API.

CrossRayError
└── StoreError              the store cannot do what it is asked for; what it holds is unharmed
    ├── NoStore             this service keeps nothing
    ├── StoreUnavailable    the database does not answer
    ├── StoreVersion        the database is of another version of CrossRay
    ├── StoreFull           the disk or the quota is full
    ├── UnknownStudy        no study, version or image of this name
    ├── WrongStatus         what a report of this status does not allow
    └── Conflict            somebody else has saved a newer version
"""

from app.store.records import Version
from model.errors import CrossRayError

__all__ = [
    "Conflict",
    "NoStore",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StoreVersion",
    "UnknownStudy",
    "WrongStatus",
]


class StoreError(CrossRayError):
    """The store cannot do what it is asked for; what it holds is unharmed."""


class NoStore(StoreError):
    """This service keeps nothing."""


class StoreUnavailable(StoreError):
    """The database does not answer."""


class StoreVersion(StoreError):
    """The database is of another version of CrossRay."""


class StoreFull(StoreError):
    """The disk or the quota is full."""


class UnknownStudy(StoreError):
    """No study, version or image of this name."""


class WrongStatus(StoreError):
    """A signed report is not edited, a draft has no addendum."""


class Conflict(StoreError):
    """Somebody else has saved a newer version.

    Attributes:
        current: that version.
        yours: the text that was not saved.
    """

    def __init__(self, message: str, current: Version, yours: str) -> None:
        super().__init__(message)
        self.current = current
        self.yours = yours
