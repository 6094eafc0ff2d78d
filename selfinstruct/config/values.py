"""Configuration values: read from files and options, laid over one another, and validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.common.texts import read_text, shown
from selfinstruct.config.schema import RunConfig


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or is not a mapping.
    """
    text = read_text(path, "--config")
    try:
        data = yaml.safe_load(text)
    # PyYAML reads 2026-13-45 as a date, and fails with ValueError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not a YAML text: {why(error)}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold `key: value` lines, not {shown(data)}")
    return data


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it, section by section; `engine.options` too."""
    values = dict(base)
    for key, value in over.items():
        below = values.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            values[key] = overlay(below, value)
        else:
            values[key] = value
    return values


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Turn {"novelty.threshold": 0.7} into {"novelty": {"threshold": 0.7}}.

    Raises:
        ConfigError: a key has both a value and keys below it.
    """
    tree: dict[str, Any] = {}
    for key, value in dotted.items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{key}: {part!r} has both a value and keys below it; drop one")
        if isinstance(node.get(last), dict):
            raise ConfigError(f"{key}: has both keys below it and a value; drop one")
        node[last] = value
    return tree


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Turn `--set key=value` strings into a nested mapping; values are read as YAML.

    Raises:
        ConfigError: a setting without `=`, or a value that is not YAML.
    """
    dotted: dict[str, Any] = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {setting}: write key=value, as in novelty.threshold=0.6")
        try:
            dotted[key.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"--set {setting}: the value is not YAML: {why(error)}") from error
    return nested(dotted)


def engine_of(values: Mapping[str, Any]) -> str | None:
    """Return the engine that config values name, before they are validated; None: they do not."""
    section = values.get("engine")
    name = section.get("name") if isinstance(section, Mapping) else None
    return None if name is None else str(name)


def build_config(values: Mapping[str, Any], source: str) -> RunConfig:
    """Validate a nested mapping.

    Raises:
        ConfigError: one line for each unknown key or value out of range, all at once.
    """
    # Laid over the defaults key by key: a partial section keeps its other defaults.
    try:
        return RunConfig.model_validate(overlay(RunConfig().model_dump(), values))
    except ValidationError as error:
        lines = [_explain(item, source) for item in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _explain(item: Any, source: str) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "(all)"
    if item["type"] == "extra_forbidden":
        section: Any = RunConfig()
        for part in item["loc"][:-1]:
            section = getattr(section, str(part))
        keys = sorted(type(section).model_fields)
        meant = did_you_mean(str(item["loc"][-1]), keys)
        return f"{source}: unknown key {where!r}; {meant}keys there are: {', '.join(keys)}"
    if item["type"] == "value_error":  # a message of our own validators
        return f"{source}: {where}: {item['ctx']['error']}"
    return f"{source}: {where}: {item['msg']} (got {shown(item['input'])})"
