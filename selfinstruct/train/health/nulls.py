"""Points of a history as JSON can hold them, which lacks NaN."""

from __future__ import annotations

import math
from typing import Any


def with_null(value: Any) -> Any:
    """Return a value with null for NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: with_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_null(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def with_nan(value: Any) -> Any:
    """Return what `with_null` was given."""
    if isinstance(value, dict):
        return {key: with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_nan(item) for item in value]
    return math.nan if value is None else value
