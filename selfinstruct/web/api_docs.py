"""The page of the REST API, made from its OpenAPI description, without script or network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from selfinstruct.web.render import page

router = APIRouter(include_in_schema=False)


@router.get("/api/v1/docs")
def docs_page(request: Request) -> HTMLResponse:
    """Every operation with its parameters, body and answers."""
    spec: dict[str, Any] = request.app.openapi()
    by_tag: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append((path, method, operation))
    values = {
        "here": "api",
        "spec": spec,
        "by_tag": by_tag,
        "fields": lambda schema: _fields(spec, schema),
        "values": lambda schema: _values(spec, schema),
    }
    return page("api", values)


def _resolved(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Mapping[str, Any] = spec["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _fields(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> list[tuple[str, bool, str]]:
    """Return name, whether it is required, and values, of each field of a body."""
    body = _resolved(spec, schema)
    required = body.get("required", [])
    fields = body.get("properties", {})
    shown = [(name, name in required, _values(spec, field)) for name, field in fields.items()]
    return sorted(shown, key=lambda field: not field[1])


def _values(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return what a value may be, in a few words."""
    schema = _resolved(spec, schema)
    if "anyOf" in schema:
        words = " or ".join(_values(spec, one) for one in schema["anyOf"])
    elif "enum" in schema:
        words = " | ".join(map(str, schema["enum"]))
    elif "const" in schema:
        words = str(schema["const"])
    elif schema.get("type") == "array":
        words = f"list of {_values(spec, schema['items'])}"
    else:
        words = str(schema.get("type", "any"))
        limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
        shown = [f"{sign} {schema[key]:,}" for key, sign in limits.items() if key in schema]
        words += f" ({', '.join(shown)})" if shown else ""
    if "default" in schema and schema["default"] is not None:
        words += f", by default {json.dumps(schema['default'])}"
    return words
