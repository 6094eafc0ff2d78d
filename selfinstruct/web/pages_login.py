"""The way in where a token is asked for: the one-time address, or the token typed."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from selfinstruct.web.forms import FormOf
from selfinstruct.web.render import page
from selfinstruct.web.service import ServiceOf

router = APIRouter(include_in_schema=False)


@router.get("/login", response_model=None)
def login_page(service: ServiceOf, key: str | None = None) -> Response:
    """Take a one-time key, or ask for the token."""
    if key is None:
        return page("login", {"onward": False})
    if not service.access.use_login_key(key):
        return _again("This address was used already, or is wrong. Type the token.")
    return _in(service)


@router.post("/login", response_model=None)
def login(service: ServiceOf, form: FormOf) -> Response:
    """Take the token."""
    if not service.access.is_token(form.get("token", "").strip()):
        return _again("That is not the token.")
    return _in(service)


def _in(service: ServiceOf) -> HTMLResponse:
    """Set the cookie, and go on from a page of our own.

    Not by a redirect: to a browser that came here by a link elsewhere, its target would still
    be asked for by that other site, and a SameSite=Strict cookie would not be sent.
    """
    response = page("login", {"onward": True})
    service.access.open_session(response)
    return response


def _again(problem: str) -> HTMLResponse:
    return page("login", {"onward": False, "problem": problem}, 403)
