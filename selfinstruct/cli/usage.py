"""Messages on options that hold a wrong value: which value, what it should be, what was meant."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperGroup

from selfinstruct.common.suggest import did_you_mean

# As Typer lists what an option can be. A value can be long, and say so itself.
_NOT_ONE_OF = " is not one of "


class Commands(TyperGroup):
    """The top group of commands. Typer's messages on values are pydantic's; these are ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = _in_words(error)
            raise


def _in_words(error: typer.BadParameter) -> str:
    """Return the message on a value that Typer had checked by pydantic, else the one it has."""
    from pydantic import ValidationError

    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return error.message
    value = cause.errors()[0]["input"]
    # "Value error, " comes before what a check of Typer's own says.
    message = error.message.removeprefix("Value error, ")
    said, _, choices = message.removesuffix(".").rpartition(_NOT_ONE_OF)
    if not said:
        message = message.partition(", unable to")[0]
        return message.replace("Input should", f"{value!r} should", 1)
    meant = did_you_mean(str(value), re.findall("'([^']*)'", choices))
    return f"{said} is none of them; {meant}there are: {choices}"
