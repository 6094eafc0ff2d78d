"""Fields of the configuration: each has a kind, a description, and its first version."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class Section(BaseModel):
    """A part of the configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Default:
    """Marks a key whose default also holds for runs that were made before it."""


_DEFAULT = _Default()


def field(
    kind: str,
    default: Any,
    description: str,
    *,
    since: int = 1,
    before: Any = _DEFAULT,
    **limits: Any,
) -> Any:
    """Declare a field.

    Args:
        kind: `semantic`, `stopping`, `throughput` or `input` (config/schema.py explains them).
        default: for new runs.
        description: one line for the docs.
        since: version of the rules (versions.py) in which the key was added.
        before: value for a run whose stored config lacks the key: what the program did before the
            key existed. By default `default`, for keys that changed nothing.
        **limits: bounds, as pydantic's `Field` has them.
    """
    extra: dict[str, Any] = {"kind": kind, "since": since}
    if before is not _DEFAULT:
        extra["before"] = before
    return Field(default, description=description, json_schema_extra=extra, **limits)


def semantic(default: Any, description: str, **more: Any) -> Any:
    """Declare a field that decides what a run contains."""
    return field("semantic", default, description, **more)


def stopping(default: Any, description: str, **more: Any) -> Any:
    """Declare a field that decides when a run stops."""
    return field("stopping", default, description, **more)


def throughput(default: Any, description: str, **more: Any) -> Any:
    """Declare a field that decides how fast a run is."""
    return field("throughput", default, description, **more)
