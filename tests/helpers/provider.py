"""A tiny OpenID Connect provider: code flow with PKCE, one key, whoever is next signs in."""

import base64
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.responses import JSONResponse, RedirectResponse

CLIENT = "crossray-tests"
SECRET = "a secret of the tests"


class TinyProvider:
    """Signs in `person`, with these claims."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.person: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.app = FastAPI()
        self.app.add_api_route("/.well-known/openid-configuration", self.document)
        self.app.add_api_route("/keys", self.keys)
        self.app.add_api_route("/authorize", self.authorize)
        self.app.add_api_route("/token", self.token, methods=["POST"])

    async def document(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    async def keys(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    async def authorize(self, request: Request) -> RedirectResponse:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

    async def token(self, request: Request) -> JSONResponse:
        form = await request.form()
        asked = self.codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        given = f"{CLIENT}:{SECRET}".encode()
        known = f"Basic {base64.b64encode(given).decode()}"
        if asked is None or challenge != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if request.headers.get("authorization") != known:
            return JSONResponse({"error": "invalid_client"}, 401)
        token = self.signed(nonce=asked["nonce"])
        return JSONResponse({"access_token": token, "id_token": token, "token_type": "Bearer"})

    def signed(self, lasts: int = 300, **claims: Any) -> str:
        """A token about the person, for so many seconds."""
        now = int(time.time())
        times = {"iat": now, "exp": now + lasts}
        fields = {"iss": self.address, "aud": CLIENT, **times, **self.person, **claims}
        return jwt.encode({"alg": "RS256", "kid": "one"}, fields, self.key)


@contextmanager
def provider() -> Iterator[TinyProvider]:
    """A provider that listens on the loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    made = TinyProvider(f"http://127.0.0.1:{listening.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(made.app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield made
    server.should_exit = True
    thread.join()
    listening.close()
