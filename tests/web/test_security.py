"""Who is let in, and what the answers allow a browser to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from selfinstruct.common.errors import ConfigError
from selfinstruct.store import Run
from selfinstruct.web.app import create_app
from selfinstruct.web.errors import NotFoundError
from selfinstruct.web.root import run_path
from selfinstruct.web.security import COOKIE, MAX_BODY, access_for, is_loopback
from tests.web.conftest import PROGRAM
from tests.web.script import HOSTILE

Generate = Callable[..., tuple[Run, str]]
TOKEN = "a-token-of-some-length"


@pytest.fixture
def guarded(root: Path) -> TestClient:
    """A service that listens on an address of the network, and so asks for a token."""
    access = access_for("192.168.1.20", TOKEN)
    return TestClient(create_app(root, access, PROGRAM), base_url="http://192.168.1.20:8700")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert (access_for(host, None).token is None) is loopback


def test_a_short_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        access_for("127.0.0.1", "secret")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8700", 200),
        ("localhost:9000", 200),  # a tunnel from another port
        ("[::1]:8700", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
        ("[", 421),
        ("", 421),
    ],
)
def test_host(client: TestClient, host: str, status: int) -> None:
    assert client.get("/", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("host", "known"),
    [("10.1.2.3:8700", True), ("[fe80::1]", True), ("evil.example", False), ("runs.lab", True)],
)
def test_every_address_answers_to_addresses_and_to_its_own_names(host: str, known: bool) -> None:
    """An address cannot be made to point elsewhere, as a name can."""
    access = access_for("0.0.0.0", TOKEN, ["runs.lab"])
    assert access.knows_host(host) is known


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"origin": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://127.0.0.1:9999"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"origin": "http://127.0.0.1:8700", "sec-fetch-site": "same-origin"}, False),
        ({}, False),  # a program
    ],
)
def test_origin(client: TestClient, headers: dict[str, str], refused: bool) -> None:
    answer = client.post("/api/v1/runs", json={"name": "../x"}, headers=headers)
    assert answer.status_code == (403 if refused else 422)


def test_a_link_from_another_site_may_be_followed(client: TestClient) -> None:
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200
    read = client.get("/api/v1/runs", headers={"origin": "http://evil.example"})
    assert read.status_code == 403


def test_a_program_needs_the_token(guarded: TestClient) -> None:
    refused = guarded.get("/api/v1/runs")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    wrong = {"authorization": f"Bearer {TOKEN}x"}
    assert guarded.get("/api/v1/runs", headers=wrong).status_code == 401
    right = {"authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/api/v1/runs", headers=right).json() == []
    assert guarded.post("/api/v1/runs", json={}).status_code == 401
    assert guarded.get("/api/v1/openapi.json").status_code == 401


def test_the_one_time_address_opens_a_session_once(guarded: TestClient) -> None:
    access = guarded.app._access  # type: ignore[attr-defined]
    to_login = guarded.get("/", follow_redirects=False)
    assert (to_login.status_code, to_login.headers["location"]) == (303, "/login")
    address = f"/login?key={access.login_key}"
    cookie = guarded.get(address).headers["set-cookie"]
    for part in (f"{COOKIE}=", "HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert guarded.get("/").status_code == 200
    guarded.cookies.clear()
    assert guarded.get(address).status_code == 403
    assert guarded.get("/", follow_redirects=False).status_code == 303


def test_the_token_can_be_typed(guarded: TestClient) -> None:
    assert guarded.post("/login", data={"token": "nonsense"}).status_code == 403
    assert "set-cookie" in guarded.post("/login", data={"token": TOKEN}).headers
    assert guarded.get("/").status_code == 200


def test_a_made_up_cookie_opens_nothing(guarded: TestClient) -> None:
    guarded.cookies.set(COOKIE, "x" * 43)
    assert guarded.get("/api/v1/runs").status_code == 401


def test_bodies_are_limited(client: TestClient) -> None:
    assert client.post("/api/v1/runs", content=b"x" * (MAX_BODY + 1)).status_code == 413

    def unannounced() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * (MAX_BODY // 10)

    assert client.post("/api/v1/runs", content=unannounced()).status_code == 413


def test_every_answer_has_the_policy(client: TestClient, run: Run) -> None:
    id = run.instructions(0)[0].id
    pages = ["/", "/new", "/jobs", "/login", "/nowhere", "/api/v1/docs", "/static/app.css"]
    pages += [f"/runs/first{tail}" for tail in ("", "/candidates", f"/candidates/{id}")]
    pages += ["/runs/first/rate", "/runs/first/what-if", "/runs/none", "/api/v1/runs", "/static/x"]
    for page in pages:
        headers = client.get(page).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy, page
        assert "default-src 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
    refused = client.get("/", headers={"host": "evil.example"})
    assert "content-security-policy" in refused.headers


def test_pages_hold_no_inline_script_and_name_no_other_host(client: TestClient, run: Run) -> None:
    for page in ("/", "/new", "/jobs", "/api/v1/docs", "/runs/first", "/runs/first/what-if"):
        text = client.get(page).text
        assert text.count("<script") == text.count('src="/static/')
        assert "style=" not in text
        assert "onclick" not in text
        assert "https://" not in text
        assert "//cdn" not in text


@pytest.mark.parametrize(
    "name", ["%2e%2e", "..%2foutside", "%2e%2e%2foutside", ".jobs", "a%00b", "link", "x" * 300]
)
def test_a_run_name_cannot_leave_the_root(
    client: TestClient, root: Path, generate: Generate, name: str
) -> None:
    outside, _ = generate(root.parent / "outside", stop__target=1)
    (root / "link").symlink_to(outside.path)
    for address in (f"/runs/{name}", f"/api/v1/runs/{name}", f"/api/v1/runs/{name}/candidates"):
        assert client.get(address).status_code in {404, 405}, address
    assert client.get("/api/v1/runs").json() == []


@pytest.mark.parametrize("name", ["..", ".", "", "../outside", "/etc", "a/../..", "a\\b", "a\0"])
def test_no_odd_name_is_a_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError):
        run_path(tmp_path, name)


@pytest.mark.parametrize("name", ["../out", "/tmp/out", ".hidden", "a/b", "", "-x", "a b", "ä"])
def test_a_new_run_stays_in_the_root(client: TestClient, root: Path, name: str) -> None:
    assert client.post("/api/v1/runs", json={"name": name, "model": "tiny"}).status_code == 422
    assert {path.name for path in root.iterdir()} == {"tiny"}


@pytest.mark.parametrize(
    "model", ["/etc", "../root/tiny", "./tiny", "~", "tiny/../tiny", "..", "http://x/v1"]
)
def test_a_form_names_no_path_and_no_address_as_a_model(client: TestClient, model: str) -> None:
    answer = client.post("/api/v1/runs", json={"name": "new", "model": model})
    assert answer.status_code == 422
    assert "model" in answer.json()["detail"]


@pytest.mark.parametrize("key", ["prompts", "topics", "config", "out", "engine", "settings"])
def test_what_could_name_a_path_is_unknown(client: TestClient, key: str) -> None:
    body = {"name": "new", "model": "tiny", key: "/etc/passwd"}
    assert client.post("/api/v1/runs", json=body).status_code == 422


def test_model_text_is_escaped(client: TestClient, run: Run) -> None:
    row = next(c for n in run.rounds() for c in run.instructions(n) if c.text == HOSTILE)
    for page in ("/runs/first/candidates", f"/runs/first/candidates/{row.id}"):
        text = client.get(page).text
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text
        assert "<img" not in text


def test_what_a_program_gets_is_json(client: TestClient, run: Run) -> None:
    """So that a browser never takes a text in it for a page."""
    answer = client.get("/api/v1/runs/first/candidates")
    assert answer.headers["content-type"] == "application/json"
    assert HOSTILE in {row["text"] for row in json.loads(answer.text)["page"]["rows"]}
