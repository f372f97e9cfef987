"""Who may do what: at a provider, behind a proxy, and nobody from another site's page."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from kept_studies import EVERYBODY, new_study
from problem import assert_problem
from provider import CLIENT, SECRET, TinyProvider, provider

from app.main import create_app
from app.settings import Settings, load_settings
from app.store.audit import audit_lines
from app.store.studies import add_study
from model.errors import ConfigError
from model.generator import ReportGenerator

PEOPLE = {
    "reader": {"sub": "1", "name": "Ada Reader", "preferred_username": "ada", "roles": ["reader"]},
    "radiologist": {"sub": "2", "name": "Dr. Chief", "roles": ["crossray-radiologist", "other"]},
    "admin": {"sub": "3", "email": "root@example.org", "roles": "admin"},
    "nobody": {"sub": "4", "name": "No Role", "roles": []},
}


@pytest.fixture(scope="module")
def tiny_provider() -> Iterator[TinyProvider]:
    with provider() as made:
        yield made


@contextmanager
def serving(generator: ReportGenerator, **settings: Any) -> Iterator[TestClient]:
    app = create_app(Settings(**settings), generator)
    with TestClient(app, follow_redirects=False) as client:
        while not (app.state.service.is_ready or app.state.service.failure):
            time.sleep(0.01)
        yield client


@pytest.fixture
def client(
    tiny_generator: ReportGenerator, tiny_provider: TinyProvider, tmp_path: Path
) -> Iterator[TestClient]:
    with serving(
        tiny_generator,
        store=tmp_path / "store",
        accounts="oidc",
        oidc_issuer=tiny_provider.address,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        public_url="http://testserver",
    ) as client:
        yield client


@pytest.fixture
def study(client: TestClient) -> str:
    return add_study(client.app.state.service.store, new_study(), EVERYBODY)


def sign_in(client: TestClient, tiny: TinyProvider, who: str) -> dict[str, str]:
    """Through the provider and back; the headers that this person's page sends with a change."""
    tiny.person = PEOPLE[who]
    away = client.get("/sign-in", params={"next": "worklist.html?status=draft"})
    assert away.status_code == 302 and away.headers["location"].startswith(tiny.address)
    back = httpx.get(away.headers["location"]).headers["location"]
    home = client.get(back)
    assert home.headers["location"] == "http://testserver/worklist.html?status=draft", home.text
    return {"X-CSRF-Token": client.get("/v1/session").json()["csrf"], "If-Match": '"1"'}


def test_nobody_gets_in_without_signing_in(client: TestClient, study: str) -> None:
    for method, path in (
        ("GET", "/v1/studies"),
        ("GET", f"/v1/studies/{study}"),
        ("GET", f"/v1/studies/{study}/images/1"),
        ("POST", "/v1/reports"),
        ("POST", "/v1/questions"),
        ("POST", "/v1/pixels"),
        ("GET", "/v1/audit"),
        ("GET", "/v1/nothing/that/there/is"),
    ):
        assert_problem(client.request(method, path), 401, "signed-out")
    session = client.get("/v1/session").json()
    assert (session["accounts"], session["name"], session["csrf"]) == ("oidc", None, None)
    assert client.get("/worklist.html").status_code == 200
    assert client.get("/livez").status_code == 200


def test_somebody_signs_in_signs_and_signs_out(
    client: TestClient, tiny_provider: TinyProvider, study: str
) -> None:
    headers = sign_in(client, tiny_provider, "radiologist")
    cookie = client.cookies.jar._cookies["testserver.local"]["/"]["crossray_session"]
    assert "HttpOnly" in cookie._rest and not cookie.secure
    session = client.get("/v1/session").json()
    assert (session["name"], session["roles"]) == ("Dr. Chief (2)", ["radiologist"])
    path = f"/v1/studies/{study}/signature"
    signed = client.post(path, json={"name": "somebody else"}, headers=headers)
    assert signed.json()["author"] == "Dr. Chief (2)"
    assert client.delete("/v1/session", headers=headers).status_code == 204
    assert_problem(client.get("/v1/studies"), 401, "signed-out")
    store = client.app.state.service.store
    actions = [line.action for line in audit_lines(store.database)]
    assert actions == ["stored", "signed in", "signed", "signed out"]


@pytest.mark.parametrize(
    ("who", "may"),
    [
        ("reader", {"read", "edit"}),
        ("radiologist", {"read", "edit", "sign"}),
        ("admin", {"read", "audit"}),
        ("nobody", set()),
    ],
)
def test_each_role_may_do_its_own(
    client: TestClient, tiny_provider: TinyProvider, study: str, who: str, may: set[str]
) -> None:
    headers = sign_in(client, tiny_provider, who)
    path = f"/v1/studies/{study}"
    answers = {
        "read": client.get(path),
        "edit": client.put(f"{path}/report", json={"text": "Findings: x."}, headers=headers),
        "audit": client.get("/v1/audit"),
    }
    sign = {**headers, "If-Match": '"2"' if "edit" in may else '"1"'}
    answers["sign"] = client.post(f"{path}/signature", json={}, headers=sign)
    for name, answer in answers.items():
        if name in may:
            assert answer.status_code == 200, answer.text
        else:
            problem = assert_problem(answer, 403, "wrong-role")
            assert "takes the role" in problem["detail"]


def test_a_change_needs_the_sessions_token(
    client: TestClient, tiny_provider: TinyProvider, study: str
) -> None:
    headers = sign_in(client, tiny_provider, "reader")
    path = f"/v1/studies/{study}/review"
    for token in ({}, {"X-CSRF-Token": "guessed"}):
        answer = client.post(path, headers={"If-Match": '"1"', **token})
        assert_problem(answer, 403, "wrong-origin")
    for foreign in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        assert_problem(client.post(path, headers={**headers, **foreign}), 403, "wrong-origin")
    assert client.post(path, headers={**headers, "Origin": "http://testserver"}).status_code == 200


@pytest.mark.parametrize(("idle", "whole"), [(31, 31), (29, 13 * 60)])
def test_a_session_that_has_expired_is_told(
    client: TestClient, tiny_provider: TinyProvider, study: str, idle: int, whole: int
) -> None:
    headers = sign_in(client, tiny_provider, "reader")
    service = client.app.state.service
    begun = service.store.now()
    minutes = 0
    while minutes + idle < whole:
        minutes += idle
        now = begun + minutes * 60_000
        service._store = replace(service.store, now=lambda now=now: now)
        if minutes < 12 * 60:
            assert client.get("/v1/studies").status_code == 200
    now = begun + whole * 60_000
    service._store = replace(service.store, now=lambda: now)
    path = f"/v1/studies/{study}/report"
    answer = client.put(path, json={"text": "Findings: x."}, headers=headers)
    assert_problem(answer, 401, "expired")
    assert client.get("/v1/session").json()["name"] is None
    service._store = replace(service.store, now=lambda: begun)
    assert client.get(f"/v1/studies/{study}").json()["version"] == 1


def test_what_a_page_asks_by_itself_keeps_no_session(
    client: TestClient, tiny_provider: TinyProvider
) -> None:
    sign_in(client, tiny_provider, "reader")
    service = client.app.state.service
    begun = service.store.now()
    for minutes in (10, 20, 29):
        now = begun + minutes * 60_000
        service._store = replace(service.store, now=lambda now=now: now)
        assert client.get("/v1/progress").status_code == 200
    service._store = replace(service.store, now=lambda: begun + 31 * 60_000)
    assert_problem(client.get("/v1/progress"), 401, "expired")


def test_a_program_sends_the_providers_token(
    client: TestClient, tiny_provider: TinyProvider, study: str
) -> None:
    tiny_provider.person = PEOPLE["reader"]

    def ask(token: str) -> Any:
        return client.get("/v1/studies", headers={"Authorization": f"Bearer {token}"})

    assert ask(tiny_provider.signed()).status_code == 200
    assert_problem(ask(tiny_provider.signed(lasts=-60)), 401, "expired")
    assert_problem(ask(tiny_provider.signed(aud="another service")), 401, "signed-out")
    assert_problem(ask(tiny_provider.signed(iss="http://evil.example")), 401, "signed-out")
    head, body, _ = tiny_provider.signed().split(".")
    assert_problem(ask(f"{head}.{body}.AAAA"), 401, "signed-out")
    assert_problem(ask("nonsense"), 401, "signed-out")


def test_an_answer_to_no_question_of_ours_signs_nobody_in(client: TestClient) -> None:
    answer = client.get("/sign-in/return", params={"code": "x", "state": "y"})
    assert_problem(answer, 401, "signed-out")
    assert "crossray_session" not in client.cookies


@pytest.mark.parametrize("address", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_nobody_is_sent_to_another_site(
    client: TestClient, tiny_provider: TinyProvider, address: str
) -> None:
    tiny_provider.person = PEOPLE["reader"]
    away = client.get("/sign-in", params={"next": address})
    home = client.get(httpx.get(away.headers["location"]).headers["location"])
    assert home.headers["location"] == "http://testserver/worklist.html"


@pytest.fixture
def behind_proxy(tiny_generator: ReportGenerator, tmp_path: Path) -> Iterator[TestClient]:
    settings = {"accounts": "proxy", "proxy_addresses": ("testclient",)}
    with serving(tiny_generator, store=tmp_path / "store", **settings) as client:
        yield client


def test_the_proxy_names_who_asks(behind_proxy: TestClient) -> None:
    assert_problem(behind_proxy.get("/v1/studies"), 401, "signed-out")
    named = {"X-Remote-User": "ada", "X-Remote-Roles": "reader, staff"}
    assert behind_proxy.get("/v1/studies", headers=named).status_code == 200
    assert_problem(behind_proxy.get("/v1/audit", headers=named), 403, "wrong-role")
    session = behind_proxy.get("/v1/session", headers=named).json()
    assert (session["name"], session["roles"], session["keeps"]) == ("ada", ["reader"], True)
    body = {"before": "a", "after": "b"}
    answer = behind_proxy.post("/v1/comparisons", json=body, headers=named)
    assert_problem(answer, 403, "wrong-origin")
    sent = {**named, "X-CSRF-Token": session["csrf"]}
    assert behind_proxy.post("/v1/comparisons", json=body, headers=sent).status_code == 200


def test_only_the_proxy_is_believed(tiny_generator: ReportGenerator, tmp_path: Path) -> None:
    settings = {"accounts": "proxy", "proxy_addresses": ("10.0.0.1",)}
    with serving(tiny_generator, store=tmp_path / "store", **settings) as client:
        headers = {"X-Remote-User": "ada", "X-Remote-Roles": "admin"}
        assert_problem(client.get("/v1/studies", headers=headers), 401, "signed-out")


def test_a_client_has_its_share_of_requests(tiny_generator: ReportGenerator) -> None:
    with serving(tiny_generator, rate_limit=3) as client:
        for _ in range(3):
            assert client.get("/v1/model").status_code == 200
        answer = client.get("/v1/model")
        assert_problem(answer, 429, "too-many-requests")
        assert int(answer.headers["retry-after"]) > 0
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"store": "x", "host": "0.0.0.0"}, "CROSSRAY_ACCOUNTS"),
        ({"accounts": "proxy"}, "CROSSRAY_PROXY_ADDRESSES"),
        ({"accounts": "oidc", "store": "x"}, "CROSSRAY_OIDC_ISSUER"),
        ({"accounts": "oidc", "oidc_client_secret": "hush"}, "CROSSRAY_OIDC_ISSUER"),
        ({"accounts": "ldap"}, "CROSSRAY_ACCOUNTS"),
        ({"public_url": "javascript:alert(1)"}, "CROSSRAY_PUBLIC_URL"),
    ],
)
def test_accounts_that_cannot_work_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        load_settings(**settings)
    assert "hush" not in str(refused.value)


def test_a_store_that_everybody_may_use_is_said_to_be(tmp_path: Path) -> None:
    load_settings(store=tmp_path, host="0.0.0.0", accounts="none")
    assert load_settings(store=tmp_path).accounts is None
