"""Checks of an answer that a row brings with it.

A check looks at text alone. None of them runs code: there is no sandbox here, and what a model
writes is not to be trusted. Tests of programs belong into a harness that has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import regex

from selfinstruct.common.errors import why
from selfinstruct.common.texts import shown
from selfinstruct.evaluate.exact import is_exact
from selfinstruct.filters.length import has_spaceless
from selfinstruct.inputs.data_row import BadRowError

# An expression that takes longer on one answer does not match it.
_SECONDS = 1.0
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class CheckKind:
    """A way to check an answer.

    Attributes:
        name: its key in the row's `check`.
        help: when an answer passes, for the docs.
        example: its value in a row.
        wants: what the value must be, for messages.
        fits: whether a value is that; it may raise ValueError with the reason.
        passes: whether an answer passes, of (answer, the value as texts).
    """

    name: str
    help: str
    example: Any
    wants: str
    fits: Callable[[Sequence[str]], bool]
    passes: Callable[[str, Sequence[str]], bool]


def _some(values: Sequence[str]) -> bool:
    return bool(values) and all(value.strip() for value in values)


def _exact(answer: str, values: Sequence[str]) -> bool:
    return any(is_exact(answer, value) for value in values)


def _contains(answer: str, values: Sequence[str]) -> bool:
    text = answer.casefold()
    return all(_word(value.strip().casefold()).search(text) for value in values)


def _word(text: str) -> re.Pattern[str]:
    """Return what finds a text that is no part of longer words ("red" is not in "bored")."""
    if has_spaceless(text):
        return re.compile(re.escape(text))
    before = r"(?<!\w)" if re.match(r"\w", text) else ""
    behind = r"(?!\w)" if re.search(r"\w\Z", text) else ""
    return re.compile(before + re.escape(text) + behind)


def _is_number(values: Sequence[str]) -> bool:
    return len(values) == 1 and _NUMBER.fullmatch(values[0].strip()) is not None


def _number(answer: str, values: Sequence[str]) -> bool:
    found = _NUMBER.findall(answer)
    return bool(found) and _value(found[-1]) == _value(values[0].strip())


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", ""))


def _is_expression(values: Sequence[str]) -> bool:
    if len(values) != 1:
        return False
    try:
        regex.compile(values[0])
    except regex.error as error:
        raise ValueError(str(error)) from error
    return True


def _matches(answer: str, values: Sequence[str]) -> bool:
    try:
        return regex.search(values[0], answer, timeout=_SECONDS) is not None
    except TimeoutError:
        return False


def _json(answer: str, values: Sequence[str]) -> bool:
    opening, _, fenced = answer.strip().partition("\n")
    is_fenced = opening.strip() in ("```", "```json") and fenced.endswith("```")
    try:
        value = json.loads(fenced.removesuffix("```") if is_fenced else answer)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict | list) and (
        not values or (isinstance(value, dict) and all(key in value for key in values))
    )


CHECKS: tuple[CheckKind, ...] = (
    CheckKind(
        "exact",
        "the answer equals the text, or one of several texts, by the rules of `exact_match`",
        ["Paris", "Paris, France"],
        "a text, or a list of texts",
        _some,
        _exact,
    ),
    CheckKind(
        "contains",
        "the answer contains the text, or all of several texts, as whole words in upper or lower "
        "case",
        ["red", "blue"],
        "a text, or a list of texts",
        _some,
        _contains,
    ),
    CheckKind(
        "number",
        "the last number of the answer has this value (1,000 = 1000, 4.0 = 4)",
        12,
        "a number",
        _is_number,
        _number,
    ),
    CheckKind(
        "regex",
        "the regular expression matches somewhere in the answer (search limit: one second)",
        r"^\d{4}-\d{2}-\d{2}$",
        "a regular expression",
        _is_expression,
        _matches,
    ),
    CheckKind(
        "json",
        "the answer is JSON, with or without a code fence: an object that has the keys that you "
        "name or, if you name none, any object or array",
        ["name", "age"],
        "a list of keys, which may be empty",
        lambda _: True,
        _json,
    ),
)
_KINDS = {kind.name: kind for kind in CHECKS}


def check_of(value: Any, where: str, reference: str) -> tuple[str, tuple[str, ...]]:
    """Return the check of a row: the name of its kind, and its values as texts.

    Args:
        value: of the column `check`: `{"number": 12}`, its JSON, or `exact` for the reference.
        where: the row's place, for messages.
        reference: its answer.

    Raises:
        BadRowError: it is no check.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):  # a cell of a CSV file
        with suppress(ValueError):
            value = json.loads(value)
    if value == "exact":
        value = {"exact": reference}
    if isinstance(value, Mapping):  # a table has null for the kinds of other rows
        value = {name: content for name, content in value.items() if content is not None}
    if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in _KINDS:
        raise _bad(where, f"is {shown(value)}; give one of {', '.join(_KINDS)} with its value")
    [(name, content)] = value.items()
    kind = _KINDS[name]
    listed = content if isinstance(content, list) else [content]
    texts = [str(one) if _is_plain(one) else one for one in listed]
    problem = ""
    try:
        if all(isinstance(one, str) for one in texts) and kind.fits(texts):
            return name, tuple(texts)
    except ValueError as error:
        problem = f" ({why(error)})"
    raise _bad(where, f'has "{name}": {shown(content)}{problem}; give {kind.wants}')


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bad(where: str, problem: str) -> BadRowError:
    return BadRowError(where, f'"check" {problem}', "check: no check")


def passes_check(text: str, check: tuple[str, Sequence[str]]) -> bool:
    """Whether an answer passes a check of `check_of`."""
    name, values = check
    return _KINDS[name].passes(text, values)
