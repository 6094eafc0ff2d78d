"""Read the stored configuration of older runs with the values of their time.

A run stores its whole configuration. A key that was added later is not in it; it gets the value
that stands for what the program did before the key existed (a rule is off), never today's default.
Keys that were renamed or removed are still read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from selfinstruct.common.fields import Section
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, nested, overlay
from selfinstruct.filters.rule import has_off_value, off_value
from selfinstruct.filters.rules import limits_of

# Old dotted key -> its present name. Values keep their meaning.
RENAMED: dict[str, str] = {}
# Dotted keys that did not affect a run's content, and that nothing reads any more.
REMOVED: frozenset[str] = frozenset()


def config_of_its_time(stored: Mapping[str, Any], source: str) -> RunConfig:
    """Return the configuration that a run was made with.

    Args:
        stored: `config` of its run.yaml.
        source: where it was read from, for messages.

    Raises:
        ConfigError: a value is invalid, or a key never existed.
    """
    values = dict(stored)
    for old, new in RENAMED.items():
        value = _take(values, old)
        if value is not _ABSENT:
            values = overlay(nested({new: value}), values)
    for old in REMOVED:
        _take(values, old)
    values.setdefault("rules_version", _unsaid_version(values))
    before = {
        key: _before(key, info)
        for key, info in all_fields(RunConfig)
        if _look_up(values, key) is _ABSENT
    }
    of_then = {key: value for key, value in before.items() if value is not _ABSENT}
    return build_config(overlay(nested(of_then), values), source)


def all_fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield (dotted key, field) of every key of the configuration, depth first."""
    for name, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from all_fields(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


class _Absent:
    """Stands for a missing value, since None is a value."""


_ABSENT = _Absent()


def _unsaid_version(values: Mapping[str, Any]) -> int:
    """Return the rules' version of a run that does not store it (versions.py)."""
    return 1 if _look_up(values, "novelty.audit_floor") is _ABSENT else 2


def _before(key: str, info: FieldInfo) -> Any:
    """Return a key's value for runs older than the key, or `_ABSENT` if its default is right."""
    extra = info.json_schema_extra
    if isinstance(extra, dict) and "before" in extra:
        return extra["before"]
    section, _, name = key.rpartition(".")
    of_a_rule = any(name in limits.model_fields for limits in limits_of(section))
    return off_value(info) if of_a_rule and has_off_value(info) else _ABSENT


def _look_up(values: Mapping[str, Any], key: str) -> Any:
    node: Any = values
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return _ABSENT
        node = node[part]
    return node


def _take(values: dict[str, Any], key: str) -> Any:
    """Remove a dotted key from nested values; return its value. Inner mappings are copied first."""
    first, _, rest = key.partition(".")
    if first not in values:
        return _ABSENT
    if not rest:
        return values.pop(first)
    if not isinstance(values[first], Mapping):
        return _ABSENT
    inner = dict(values[first])
    taken = _take(inner, rest)
    values[first] = inner
    return taken
