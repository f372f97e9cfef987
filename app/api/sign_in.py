"""Signing in and out, and what a page needs to know of who is at it."""

import secrets
from typing import Annotated, Literal, Protocol
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.accounts.errors import AccountError
from app.accounts.sessions import Session, Sessions
from app.api.gate import COOKIE, actor_of_proxy, check_origin, csrf_of
from app.api.problems import documented
from app.api.service import Service
from app.api.study_schemas import instant
from app.provider_options import ProviderOptions
from app.settings import Settings
from app.store.errors import StoreError
from app.store.records import Actor
from model.errors import ConfigError

__all__ = ["add_sign_in_cookie", "open_provider", "pages", "session"]

session = APIRouter(prefix="/v1", tags=["accounts"])
pages = APIRouter(include_in_schema=False)

SIGN_IN_SECONDS = 600


class Provider(Protocol):
    """What signing in takes; app/accounts/oidc.py needs libraries that not everybody has."""

    async def send_away(self, request: Request) -> RedirectResponse: ...

    async def welcome(self, request: Request) -> Actor: ...

    async def bearer(self, token: str) -> Actor: ...


class SessionAnswer(BaseModel):
    """Who is at a page, and what the service keeps."""

    model_config = ConfigDict(frozen=True)

    keeps: bool = Field(description="whether studies are kept")
    accounts: Literal["none", "proxy", "oidc"]
    name: str | None = Field(description="null where nobody is signed in, or nobody needs to be")
    roles: list[str]
    csrf: str | None = Field(description="to be sent back in X-CSRF-Token with every change")
    expires: str | None = Field(description="when the session ends if nothing is asked until then")


def open_provider(options: ProviderOptions) -> Provider:
    """Where people sign in.

    Raises:
        ConfigError: Authlib is not installed.
    """
    try:
        from app.accounts.oidc import OpenIdProvider
    except ModuleNotFoundError as error:
        raise ConfigError(
            "signing in at a provider needs more: pip install 'crossray[accounts]'"
        ) from error
    return OpenIdProvider(options)


def add_sign_in_cookie(app: FastAPI, secure: bool) -> None:
    """Keep state and nonce of a sign-in that is under way in a signed cookie."""
    from starlette.middleware.sessions import SessionMiddleware

    app.add_middleware(
        SessionMiddleware,
        secret_key=secrets.token_urlsafe(32),
        session_cookie="crossray_sign_in",
        max_age=SIGN_IN_SECONDS,
        same_site="lax",
        https_only=secure,
    )


@session.get("/session", responses=documented(500), summary="Who is signed in")
def describe_session(request: Request) -> SessionAnswer:
    service: Service = request.app.state.service
    settings = service.settings
    name, roles, csrf, expires = _who(request, settings)
    return SessionAnswer(
        keeps=service.keeps,
        accounts=settings.accounts or "none",
        name=name,
        roles=sorted(roles),
        csrf=csrf,
        expires=expires,
    )


@session.delete("/session", status_code=204, responses=documented(403), summary="Sign out")
def sign_out(request: Request, response: Response) -> None:
    service: Service = request.app.state.service
    check_origin(request.headers, service.settings.public_url)
    token = request.cookies.get(COOKIE)
    if token and service.settings.accounts == "oidc":
        _sessions(request).end(token)
    response.delete_cookie(COOKIE)


@pages.get("/sign-in")
async def sign_in(
    request: Request, next: Annotated[str, Query(max_length=500)] = "worklist.html"
) -> Response:
    provider: Provider = request.app.state.provider
    request.session["next"] = next if _is_ours(next) else "worklist.html"
    response: Response = await provider.send_away(request)
    return response


@pages.get("/sign-in/return")
async def come_back(request: Request) -> Response:
    service: Service = request.app.state.service
    provider: Provider = request.app.state.provider
    actor = await provider.welcome(request)
    token = await run_in_threadpool(_sessions(request).begin, actor)
    public = str(service.settings.public_url).rstrip("/")
    # Into a page of ours that does not depend on where the provider sent the browser to.
    response = RedirectResponse(f"{public}/{request.session.pop('next', 'worklist.html')}", 303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=service.settings.session_hours * 3600,
        httponly=True,
        secure=public.startswith("https:"),
        samesite="lax",
    )
    return response


def _is_ours(path: str) -> bool:
    parts = urlsplit(path)
    return not (parts.scheme or parts.netloc or path.startswith(("/", "\\")))


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions()
    return sessions


def _who(
    request: Request, settings: Settings
) -> tuple[str | None, frozenset[str], str | None, str | None]:
    """Name, roles, CSRF token and end of the session; nothing of nobody."""
    nobody: tuple[None, frozenset[str], None, None] = (None, frozenset(), None, None)
    try:
        if settings.accounts == "proxy":
            actor = actor_of_proxy(settings, request.scope, request.headers)
            return actor.name, frozenset(actor.roles), csrf_of(settings), None
        if settings.accounts == "oidc" and (token := request.cookies.get(COOKIE)):
            found: Session = _sessions(request).find(token, touch=False)
            return (
                found.actor.name,
                frozenset(found.actor.roles),
                found.csrf,
                instant(found.expires),
            )
    except (AccountError, StoreError):
        return nobody
    return nobody
