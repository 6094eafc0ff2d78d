"""Templates, and how they format numbers, times and marked texts. Everything is escaped."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse

from selfinstruct import __version__
from selfinstruct.common.controls import visible


def percent(share: float | None) -> str:
    """Return 0.123 as `12 %`, small shares with a decimal, none as a dash."""
    if share is None or math.isnan(share):
        return "–"
    if 0 < share < 0.001:
        return "< 0.1\u202f%"
    digits = 1 if 0 < share < 0.1 else 0
    return f"{share:.{digits}%}".replace("%", "\u202f%")  # a narrow space that does not break


def score(value: float | None) -> str:
    """Return a score with two decimals, whole numbers as they are, none as a dash."""
    if value is None or math.isnan(value):
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.2f}".replace("-", "−")


def clock(seconds: float) -> str:
    """Return 4000 as `1 h 6 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def date(text: str) -> str:
    """Return 2026-01-02T03:04:05Z as `2026-01-02 03:04`."""
    return text[:16].replace("T", " ")


def moment(seconds: float) -> str:
    """Return seconds since 1970 as a date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def short(text: str, most: int) -> str:
    """Return a text on one line, cut with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def pieces(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Cut a text at spans (half-open, in order): each piece, and whether a span marks it."""
    at = 0
    for start, end in spans:
        if start > at:
            yield text[at:start], False
        if end > start:
            yield text[start:end], True
        at = max(at, end)
    if at < len(text):
        yield text[at:], False


def coded(text: str) -> Markup:
    """Return a text of ours, escaped, with the parts in backticks as code."""
    parts = text.split("`")
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def itself(text: str) -> Markup:
    """Return a text for a field of a form, escaped and otherwise as it is."""
    return Markup("{}").format(text)


def run_address(name: str) -> str:
    return f"/runs/{quote(name, safe='')}"


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("selfinstruct.web", "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    # A form has the text itself (`itself`).
    finalize=lambda value: visible(value) if type(value) is str else value,
)
_environment.filters |= {
    "percent": percent,
    "score": score,
    "clock": clock,
    "date": date,
    "moment": moment,
    "short": short,
    "pieces": pieces,
    "coded": coded,
    "itself": itself,
}
_environment.globals |= {"version": __version__, "here": "", "problem": None}


def page(
    template: str,
    values: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Return a page; `template` is the file's name without `.html.jinja`."""
    text = _environment.get_template(f"{template}.html.jinja").render(values)
    return HTMLResponse(text, status_code=status, headers=dict(headers or {}))
