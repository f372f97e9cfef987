"""Errors of accounts, each with its own answer in the API.

CrossRayError
└── AccountError        the request is not this person's to make
    ├── SignedOut       nobody is signed in
    ├── Expired         a session or token has expired
    ├── WrongRole       the account's roles do not allow it
    ├── WrongOrigin     another site's page made the request
    └── TooMany         more requests than a client may send
"""

from model.errors import CrossRayError

__all__ = ["AccountError", "Expired", "SignedOut", "TooMany", "WrongOrigin", "WrongRole"]


class AccountError(CrossRayError):
    """The request is not this person's to make."""


class SignedOut(AccountError):
    """Nobody is signed in."""


class Expired(AccountError):
    """A session or token has expired."""


class WrongRole(AccountError):
    """The account's roles do not allow it."""


class WrongOrigin(AccountError):
    """Another site's page made the request."""


class TooMany(AccountError):
    """More requests than a client may send."""
