"""A reward that is a Python function of the user's."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, TrainError, why
from selfinstruct.train.rewards.base import Answered, Score

# The arguments that a function may take, all by keyword: those of TRL's reward functions, and more.
ARGUMENTS = ("prompts", "completions", "completion_ids", "references")


def load_function(module: str, name: str, option: str) -> Score:
    """Import a function, and return what scores answers by it.

    The present folder comes first among those that are searched.

    Raises:
        ConfigError: there is none, or it takes other arguments.
    """
    with _here():
        try:
            found = getattr(import_module(module), name)
        except Exception as error:  # whatever the user's module raises
            raise ConfigError(
                f"{option}: cannot be imported ({_named(error)}); give "
                "MODULE:FUNCTION of a file in this folder, or of an installed package"
            ) from error
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise ConfigError(
            f"{option}: is no plain function; give one that returns a list of numbers"
        )
    names = _taken(found, option)

    def score(answers: Sequence[Answered]) -> list[float]:
        values: dict[str, list[Any]] = {
            "prompts": [answer.prompt.text for answer in answers],
            "completions": [answer.text for answer in answers],
            "completion_ids": [list(answer.ids) for answer in answers],
            "references": [answer.prompt.reference for answer in answers],
        }
        try:
            returned = found(**{name: values[name] for name in names})
            scores = [math.nan if value is None else float(value) for value in returned]
        except Exception as error:  # whatever the user's function raises
            raise TrainError(
                f"{option}: raised {_named(error)}; repair it, and continue"
            ) from error
        if len(scores) != len(answers):
            raise TrainError(
                f"{option}: returned {len(scores)} numbers for {len(answers)} answers; return one "
                "for each"
            )
        return scores

    return score


def _taken(function: Callable[..., Any], option: str) -> tuple[str, ...]:
    """Return the arguments to give it.

    Raises:
        ConfigError: it needs another one.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return ARGUMENTS
    known = tuple(each.name for each in parameters if each.name in ARGUMENTS)
    needed = [
        each.name
        for each in parameters
        if each.name not in ARGUMENTS
        and each.default is each.empty
        and each.kind is not each.VAR_POSITIONAL
    ]
    if needed or not known:
        raise ConfigError(
            f"{option}: takes {', '.join(needed) or 'nothing'}; a reward function takes some of "
            f"{', '.join(ARGUMENTS)}, each a list"
        )
    return known


def _named(error: Exception) -> str:
    """Return an error of the user's own code: there its type says as much as its words."""
    kind = type(error).__name__
    return f"{kind}: {why(error)}"


@contextmanager
def _here() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
