"""What pages with forms share: reading a form, its errors, and the name of its user."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import ValidationError

from selfinstruct.common.errors import ConfigError
from selfinstruct.store import Run
from selfinstruct.store.commits import CONVERSATIONS
from selfinstruct.web.render import run_address

_NAME_COOKIE = "selfinstruct_name"
_YEAR = 365 * 24 * 3600


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form, with plain newlines; browsers send carriage returns as well."""
    form = await request.form()
    return {
        key: value.replace("\r\n", "\n") for key, value in form.items() if isinstance(value, str)
    }


FormOf = Annotated[dict[str, str], Depends(form_of)]


def filled(form: dict[str, str]) -> dict[str, str]:
    """Return the fields of a form that are not empty."""
    return {key: value for key, value in form.items() if value.strip()}


def run_values(run: Run, tab: str) -> dict[str, Any]:
    """Return what every page of a run shows."""
    return {
        "here": "runs",
        "name": run.name,
        "run_url": run_address(run.name),
        "tab": tab,
        "has_conversations": bool(CONVERSATIONS.numbers(run)),
    }


def explained(error: ValidationError | ConfigError) -> str:
    """Return what is wrong with a form or an address, one line per field."""
    if isinstance(error, ConfigError):
        return str(error)
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"])
        lines.append(f"{where}: {item['msg'].lower()}" if where else item["msg"])
    return "\n".join(lines)


def who(request: Request) -> str:
    """Return the name that a person gave last."""
    return unquote(request.cookies.get(_NAME_COOKIE, ""))[:80]


def remember_name(response: Response, name: str) -> None:
    response.set_cookie(_NAME_COOKIE, quote(name), max_age=_YEAR, samesite="strict", httponly=True)
