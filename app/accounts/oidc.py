"""Signing in at an OpenID Connect provider, and its tokens in the Authorization header.

Authlib speaks the protocol: code flow with PKCE, state and nonce, the provider's keys.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from authlib.integrations.starlette_client import OAuth, OAuthError
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet
from starlette.requests import Request
from starlette.responses import RedirectResponse

from app.accounts.errors import Expired, SignedOut
from app.accounts.roles import roles_of
from app.provider_options import ProviderOptions
from app.store.records import Actor

__all__ = ["OpenIdProvider"]

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA"]
KEYS_SECONDS = 600
LEEWAY_SECONDS = 30


class OpenIdProvider:
    """One OpenID provider."""

    def __init__(self, options: ProviderOptions) -> None:
        self._options = options
        self._document = f"{options.issuer.rstrip('/')}/.well-known/openid-configuration"
        self._client = OAuth().register(
            "provider",
            client_id=options.client_id,
            client_secret=options.client_secret,
            server_metadata_url=self._document,
            client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
        )
        self._keys: KeySet | None = None
        self._keys_until = 0.0

    async def send_away(self, request: Request) -> RedirectResponse:
        """To the provider's own page.

        Raises:
            SignedOut: the provider does not answer.
        """
        try:
            redirect: RedirectResponse = await self._client.authorize_redirect(
                request, self._options.return_url
            )
        except (httpx.HTTPError, OAuthError) as error:
            raise SignedOut(
                "the sign-in provider does not answer: try again, or tell the administrator"
            ) from error
        return redirect

    async def welcome(self, request: Request) -> Actor:
        """Who comes back from the provider.

        Raises:
            SignedOut: the provider refused, or the answer is not one to our question.
        """
        try:
            token = await self._client.authorize_access_token(request)
        except (httpx.HTTPError, OAuthError, JoseError) as error:
            raise SignedOut("signing in did not succeed: begin again") from error
        claims = token.get("userinfo")
        if not claims:
            raise SignedOut("the sign-in provider did not say who came: tell the administrator")
        return self._actor(claims)

    async def bearer(self, token: str) -> Actor:
        """Whose an access token in the Authorization header is.

        Raises:
            Expired: it has expired.
            SignedOut: it is not a token of this provider for this service.
        """
        options = self._options
        try:
            decoded = jwt.decode(token, await self._provider_keys(), algorithms=ALGORITHMS)
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                exp={"essential": True},
                iss={"essential": True, "value": options.issuer},
                aud={"essential": True, "value": options.client_id},
            ).validate(decoded.claims)
        except ExpiredTokenError as error:
            raise Expired("the token has expired: get a new one and send it again") from error
        except (JoseError, ValueError, httpx.HTTPError) as error:
            raise SignedOut(
                "the token in the Authorization header is not one of this service's provider"
            ) from error
        return self._actor(decoded.claims)

    async def _provider_keys(self) -> KeySet:
        if self._keys is None or time.monotonic() > self._keys_until:
            async with httpx.AsyncClient() as client:
                document = (await client.get(self._document)).raise_for_status().json()
                keys = (await client.get(document["jwks_uri"])).raise_for_status().json()
            self._keys = KeySet.import_key_set(keys)
            self._keys_until = time.monotonic() + KEYS_SECONDS
        return self._keys

    def _actor(self, claims: Mapping[str, Any]) -> Actor:
        unique = next(
            str(claims[name]) for name in ("preferred_username", "email", "sub") if claims.get(name)
        )
        name = str(claims.get("name") or "")
        shown = f"{name} ({unique})" if name and name != unique else unique
        return Actor(shown[:200], roles_of(_listed(claims, self._options.roles_claim)))


def _listed(claims: Mapping[str, Any], path: str) -> Sequence[str]:
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return found.replace(",", " ").split()
    return [str(one) for one in found] if isinstance(found, list) else []
