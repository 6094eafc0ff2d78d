"""Paths that users give, and the cache folder (models, kernels)."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from selfinstruct.common.errors import ConfigError, why


def cache_folder() -> Path:
    """Return SELFINSTRUCT_CACHE, or `selfinstruct` in XDG's cache folder."""
    own = os.environ.get("SELFINSTRUCT_CACHE")
    if own:
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "selfinstruct"


def user_path(text: str | os.PathLike[str], option: str) -> Path:
    """Return a path that a user gave, `~` expanded.

    Raises:
        ConfigError: it names the home of a user who does not exist.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: {why(error)}; check {option}") from error


PROMPTS = ("hhh", "values")
"""System prompts that come with the project, by name."""
DATA_SETS = ("harm", "truthfulness")
"""Data sets that come with the project, by name (docs/harm.md)."""


def shipped_prompt(name: str) -> Path | None:
    """Return the file of a system prompt that comes with the project, None for no name of one.

    A file of the user's with that name goes before it.
    """
    return shipped_file(f"{name}.txt") if name in PROMPTS and not Path(name).exists() else None


def shipped_data(name: str) -> Path | None:
    """Return the file of a data set that comes with the project, None for no name of one.

    What the user has under that name goes before it.
    """
    return shipped_file(f"{name}.jsonl") if name in DATA_SETS and not Path(name).exists() else None


def shipped_file(name: str) -> Path:
    """Return a file that comes with the project: in a checkout's `seeds`, or in the package."""
    package = Path(str(resources.files("selfinstruct")))
    checkout = package.parent / "seeds" / name
    return checkout if checkout.is_file() else package / "data" / name
