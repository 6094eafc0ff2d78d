"""Log in where a token is needed: by the one-time address, or by typing the token."""

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
        return _again("This address is wrong, or was used before. Type the token.")
    return _in(service)


@router.post("/login", response_model=None)
def login(service: ServiceOf, form: FormOf) -> Response:
    """Take the token."""
    if not service.access.is_token(form.get("token", "").strip()):
        return _again("That is not the token.")
    return _in(service)


def _in(service: ServiceOf) -> HTMLResponse:
    """Set the cookie, and continue from a page of our own.

    A redirect would not do. If a link of another site led here, the browser would count the
    redirected request as that site's, and would not send a SameSite=Strict cookie.
    """
    response = page("login", {"onward": True})
    service.access.open_session(response)
    return response


def _again(problem: str) -> HTMLResponse:
    return page("login", {"onward": False, "problem": problem}, 403)
