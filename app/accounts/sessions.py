"""Sessions of people who have signed in: a random token in a cookie, its hash in the store."""

import hashlib
import json
import secrets
from dataclasses import dataclass

from sqlalchemy import delete

from app.accounts.errors import Expired, SignedOut
from app.accounts.roles import roles_of
from app.store.audit import record
from app.store.records import Actor
from app.store.store import Store
from app.store.tables import SessionRow

__all__ = ["Lifetime", "Session", "Sessions"]

MINUTE = 60_000
TOUCH = MINUTE
"""Milliseconds after which a session that is used is written again."""


@dataclass(frozen=True)
class Lifetime:
    """Milliseconds until a session ends."""

    idle: int
    """Without a request."""
    whole: int
    """However busy."""


@dataclass(frozen=True)
class Session:
    actor: Actor
    csrf: str
    """What a page sends back in X-CSRF-Token."""
    expires: int
    """Milliseconds since 1970, UTC, where nothing is asked until then."""


class Sessions:
    """The sessions of one store."""

    def __init__(self, store: Store, lifetime: Lifetime) -> None:
        self._store = store
        self._lifetime = lifetime

    def begin(self, actor: Actor) -> str:
        """Sign somebody in.

        Returns:
            The token for the cookie.
        """
        token, now = secrets.token_urlsafe(32), self._store.now()
        row = SessionRow(
            token=_hash(token),
            actor=actor.name,
            roles=json.dumps(sorted(actor.roles)),
            csrf=secrets.token_urlsafe(32),
            began=now,
            seen=now,
        )
        with self._store.database.writing() as session:
            session.execute(delete(SessionRow).where(SessionRow.began < now - self._lifetime.whole))
            session.add(row)
            record(session, actor, "signed in", now)
        return token

    def find(self, token: str, touch: bool) -> Session:
        """Whose a token is.

        Args:
            touch: the person did something; a page that only asks how things stand does not count.

        Raises:
            SignedOut: there is no such session.
            Expired: it has ended.
        """
        now = self._store.now()
        with self._store.database.reading() as session:
            row = session.get(SessionRow, _hash(token))
            if row is None:
                raise SignedOut("nobody is signed in here: sign in")
            expires = min(row.seen + self._lifetime.idle, row.began + self._lifetime.whole)
            if now >= expires:
                raise Expired(
                    "the session has expired: sign in again; what was typed and saved by itself is "
                    "kept"
                )
            actor = Actor(row.actor, roles_of(json.loads(row.roles)))
            found = Session(actor, row.csrf, expires)
            stale = now - row.seen > TOUCH
        if touch and stale:
            with self._store.database.writing() as session:
                if (kept := session.get(SessionRow, _hash(token))) is not None:
                    kept.seen = now
        return found

    def end(self, token: str) -> None:
        """Sign somebody out; nothing happens where nobody is in."""
        with self._store.database.writing() as session:
            row = session.get(SessionRow, _hash(token))
            if row is not None:
                session.delete(row)
                record(session, Actor(row.actor, frozenset()), "signed out", self._store.now())


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
