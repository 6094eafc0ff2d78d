"""Who may use the service, and what its responses allow a browser to do.

A request passes four checks, in this order. *Host*: the request must be for a name of ours.
Otherwise a page could point its own name at this machine (DNS rebinding) and read the runs.
*Origin*: a page of another site may not send us anything. *Token*: if one is set, a program sends
it as a bearer, and a browser has a cookie. *Size*: a body is limited. Every response has a
Content-Security-Policy that runs no inline script, whatever a text contains.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selfinstruct.common.errors import ConfigError

COOKIE = "selfinstruct_session"
MAX_BODY = 1 << 20
MIN_TOKEN = 16
_OPEN_PATHS = ("/login", "/static/")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to

# Plotly adds style elements to the page, which only 'unsafe-inline' allows; a style runs no code.
# It saves a plot as a picture by `blob:` and `data:`.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not `no-referrer`: browsers would then send forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class Access:
    """The names that the service answers to, its token, and the browsers that gave it.

    `token` is None if none is needed. `login_key` opens one session.
    """

    names: frozenset[str]
    any_address: bool = False
    token: str | None = None
    login_key: str | None = None
    sessions: set[str] = field(default_factory=set)

    def knows_host(self, header: str | None) -> bool:
        """Whether a Host header names this service; any port will do, since tunnels change it."""
        try:
            name = urlsplit(f"//{header}").hostname if header else None
        except ValueError:
            return False
        if name is None:
            return False
        if name in self.names:
            return True
        # Unlike a name, an address cannot be pointed elsewhere.
        return self.any_address and _is_address(name)

    def admits(self, headers: Headers, cookie: str | None) -> bool:
        """Whether a request has the token, or a session that was opened with it."""
        if self.token is None:
            return True
        scheme, _, offered = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(offered.strip()):
            return True
        return cookie is not None and cookie in self.sessions

    def is_token(self, offered: str) -> bool:
        expected = self.token or ""
        return bool(expected) and hmac.compare_digest(offered.encode(), expected.encode())

    def use_login_key(self, offered: str) -> bool:
        """Whether this is the key of the one-time address; the key works only once."""
        right = self.login_key is not None and hmac.compare_digest(
            offered.encode(), self.login_key.encode()
        )
        if right:
            self.login_key = None
        return right

    def open_session(self, response: Response) -> None:
        """Give a browser a cookie that only it can send, and no script can read."""
        session = secrets.token_urlsafe(32)
        self.sessions.add(session)
        response.set_cookie(COOKIE, session, httponly=True, samesite="strict", path="/")


def access_for(host: str, token: str | None, allowed: Iterable[str] = ()) -> Access:
    """Return who may use a service that listens on `host`.

    Args:
        host: address or name that is listened on.
        token: the one to use; without one, a token is made unless `host` is loopback.
        allowed: further names by which the service is called, behind a proxy.

    Raises:
        ConfigError: the token is too short.
    """
    if token is not None and len(token) < MIN_TOKEN:
        raise ConfigError(
            f"--token: has {len(token)} characters; give at least {MIN_TOKEN}, or leave it out and "
            "one is made"
        )
    loopback = is_loopback(host)
    if token is None and not loopback:
        token = secrets.token_urlsafe(32)
    names = {host.lower(), *(name.lower() for name in allowed)}
    if loopback:
        names |= {"localhost", "127.0.0.1", "::1"}
    elif host in EVERY_ADDRESS:
        names |= {"localhost", socket.gethostname().lower(), socket.getfqdn().lower()}
    key = secrets.token_urlsafe(32) if token is not None else None
    return Access(frozenset(names), host in EVERY_ADDRESS, token, key)


class Guard:
    """ASGI middleware: the four checks, and the headers of every response."""

    def __init__(self, app: ASGIApp, access: Access, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._access = access
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                fixed = scope["path"].startswith("/static/")
                headers.setdefault("Cache-Control", "no-cache" if fixed else "no-store")
            await send(message)

        refusal = self._refusal(Request(scope))
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, self._limited(receive), send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        headers, path = request.headers, request.url.path
        if not self._access.knows_host(headers.get("host")):
            return _refuse(
                path,
                421,
                f"this service is not called {headers.get('host', '')[:100]!r}; use the address "
                "that it printed, or start it with --allow-host NAME",
            )
        if not _same_origin(request):
            return _refuse(path, 403, "a page of another site may not send anything here")
        if not path.startswith(_OPEN_PATHS) and not self._access.admits(
            headers, request.cookies.get(COOKIE)
        ):
            if path.startswith("/api/") or request.method not in _SAFE_METHODS:
                refusal = _refuse(path, 401, "send the token: Authorization: Bearer TOKEN")
                refusal.headers["WWW-Authenticate"] = "Bearer"
                return refusal
            return RedirectResponse("/login", status_code=303)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._max_body:
            return _refuse(path, 413, f"the body is larger than {self._max_body:,} bytes")
        return None

    def _limited(self, receive: Receive) -> Receive:
        """Limit a body that has no Content-Length."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body:
                raise HTTPException(413, f"the body is larger than {self._max_body:,} bytes")
            return message

        return counted


def _same_origin(request: Request) -> bool:
    """Whether a request comes from a page of ours, from no page, or only loads a page.

    Browsers send Origin with every request that could change something, but not when somebody
    follows a link.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    foreign = request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}
    return request.method in _SAFE_METHODS or not foreign


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refuse(path: str, status: int, why: str) -> Response:
    if path.startswith("/api/"):
        return JSONResponse({"detail": why}, status_code=status)
    return PlainTextResponse(f"{why}\n", status_code=status)
