"""Who is asking, and what that person may do: before any endpoint below /v1.

A path that nobody thought of is closed: only what is listed here is open to everybody.
"""

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from app.accounts.errors import SignedOut, TooMany, WrongOrigin
from app.accounts.roles import LOCAL, Permission, check, roles_of
from app.accounts.sessions import Sessions
from app.api.problems import kind_of, problem_response
from app.settings import Settings
from app.store.records import Actor
from model.errors import CrossRayError

__all__ = ["COOKIE", "Gate", "MayAudit", "MayEdit", "MayRead", "MaySign", "csrf_of"]

COOKIE = "crossray_session"
CLOSED = "/v1/"
OPEN = {"/v1/session", "/v1/model"}
"""Below /v1, and open all the same: neither says anything of a patient."""
QUIET = re.compile(r"/v1/progress$|/v1/studies/[0-9a-f]+/autosave$")
"""What a page asks by itself does not keep a session alive."""
SAFE = {"GET", "HEAD", "OPTIONS"}
CSRF_HEADER = "x-csrf-token"

Bearer = Callable[[str], Awaitable[Actor]]


class Gate:
    """Finds out who asks and keeps it in the scope, or answers with the problem."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        sessions: Callable[[], Sessions],
        bearer: Bearer | None = None,
    ) -> None:
        """
        Args:
            sessions: of the store, which opens later than this.
            bearer: whose a token is; None where there are none.
        """
        self.app = app
        self._settings = settings
        self._sessions = sessions
        self._bearer = bearer
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate = settings.rate_limit and RateLimitItemPerMinute(settings.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(CLOSED):
            await self.app(scope, receive, send)
            return
        try:
            if scope["path"] not in OPEN:
                scope["crossray.actor"] = await self._enter(scope)
            self._check_rate(scope)
        except CrossRayError as error:
            await problem_response(scope, kind_of(error), str(error))(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _enter(self, scope: Scope) -> Actor:
        headers = Headers(scope=scope)
        changes = scope["method"] not in SAFE
        if changes:
            check_origin(headers, self._settings.public_url)
        if self._settings.accounts == "proxy":
            actor = actor_of_proxy(self._settings, scope, headers)
        elif self._settings.accounts == "oidc":
            return await self._signed_in(scope, headers, changes)
        else:
            return LOCAL
        if changes and not is_script(headers):
            raise WrongOrigin("a change names itself: send the header X-CSRF-Token, with any value")
        return actor

    async def _signed_in(self, scope: Scope, headers: Headers, changes: bool) -> Actor:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._bearer is not None:
            return await self._bearer(token.strip())
        cookie = HTTPConnection(scope).cookies.get(COOKIE)
        if not cookie:
            raise SignedOut("nobody is signed in: open /sign-in")
        touch = not QUIET.search(scope["path"])
        found = await run_in_threadpool(self._sessions().find, cookie, touch)
        if changes and not hmac.compare_digest(found.csrf, headers.get(CSRF_HEADER, "")):
            raise WrongOrigin(
                "the request does not come from this session's page: reload the page and try again"
            )
        return found.actor

    def _check_rate(self, scope: Scope) -> None:
        if not self._rate:
            return
        actor = scope.get("crossray.actor", LOCAL)
        client = actor.name if actor is not LOCAL else (scope.get("client") or ("", 0))[0]
        if not self._limiter.hit(self._rate, client):
            raise TooMany(
                f"more than {self._settings.rate_limit} requests of this client in a minute: wait "
                "a few seconds"
            )


def actor_of_proxy(settings: Settings, scope: Scope, headers: Headers) -> Actor:
    """Whom the proxy names.

    Raises:
        SignedOut: it names nobody, or the request did not come through it.
    """
    peer = (scope.get("client") or ("", 0))[0]
    if peer not in settings.proxy_addresses:
        raise SignedOut("the request did not come through the proxy of this service")
    name = headers.get(settings.proxy_user_header, "").strip()
    if not name:
        raise SignedOut("the proxy names nobody: sign in there")
    roles = re.split(r"[\s,;]+", headers.get(settings.proxy_roles_header, ""))
    return Actor(name[:200], roles_of(roles))


def check_origin(headers: Headers, public_url: str | None) -> None:
    """Refuse a change that a page of another origin makes.

    Raises:
        WrongOrigin: it does.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        foreign = site not in {"same-origin", "none"}
    else:
        hosts = {headers.get("host", ""), urlsplit(public_url or "").netloc}
        foreign = origin is not None and urlsplit(origin).netloc not in hosts
    if foreign:
        raise WrongOrigin("the request comes from another site's page: use this service's own")


def is_script(headers: Headers) -> bool:
    """Whether a page of ours or a program sent it: no other site's page can set this header."""
    return CSRF_HEADER in headers


def csrf_of(settings: Settings) -> str | None:
    """What pages send in X-CSRF-Token where no session has a token of its own."""
    return "page" if settings.accounts == "proxy" else None


def _may(permission: Permission) -> Callable[[Request], Actor]:
    def allowed(request: Request) -> Actor:
        actor: Actor = request.scope["crossray.actor"]
        check(actor, permission)
        return actor

    return allowed


MayRead = Annotated[Actor, Depends(_may("read"))]
MayEdit = Annotated[Actor, Depends(_may("edit"))]
MaySign = Annotated[Actor, Depends(_may("sign"))]
MayAudit = Annotated[Actor, Depends(_may("audit"))]
