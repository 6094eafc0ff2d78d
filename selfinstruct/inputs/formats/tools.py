"""The functions that a conversation may call, as people write them down: a column `tools`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from selfinstruct.common.errors import why
from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError
from selfinstruct.inputs.formats.base import NOTHING, Fields

TOOLS = ("tools", "functions")


def tools_of(fields: Fields) -> tuple[Mapping[str, Any], ...]:
    """Return the functions of a row as chat templates take them; none where it names none.

    They may be a list or its JSON, each a JSON schema `{"type": "function", "function": {...}}` or
    the function alone, with `name`, `description` and `parameters`. Null fields are left out: a
    table has them for what other rows say.

    Raises:
        BadRowError: they are something else.
    """
    value, column = fields.get("tools"), fields.column("tools")
    if value in NOTHING:
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise fields.bad(
                "tools",
                f"is {shown(value)}, which is not JSON ({why(error)}); give a list of functions",
                "not JSON",
            ) from error
    listed = value if isinstance(value, list) else [value]
    return tuple(_tool(fields, tool, f"{column}[{place}]") for place, tool in enumerate(listed))


def _tool(fields: Fields, tool: Any, place: str) -> Mapping[str, Any]:
    if isinstance(tool, str):
        try:
            tool = json.loads(tool)
        except ValueError:
            tool = None
    tool = _without_null(tool)
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise BadRowError(
            fields.where,
            f'"{place}" is {shown(tool)}; give {{"type": "function", "function": {{"name", '
            '"description", "parameters"}}',
            f"{place.partition('[')[0]}: no function",
        )
    parameters = function.get("parameters")
    if isinstance(parameters, str):
        try:
            function = {**function, "parameters": json.loads(parameters)}
        except ValueError as error:
            raise BadRowError(
                fields.where,
                f'"{place}" has parameters that are not JSON ({why(error)}); give an object',
                f"{place.partition('[')[0]}: parameters that are not JSON",
            ) from error
    return {"type": "function", "function": function}


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value
