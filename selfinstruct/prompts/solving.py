"""Prompts that ask for a final answer, with a rationale before it or without.

They are no part of a run's own templates: each commit of such answers keeps those that it was made
with, since runs of any age can have some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import Markers, Message
from selfinstruct.prompts.library import PromptLibrary

SHIPPED = Path(__file__).parent / "own_answers"
BASE_TEMPLATE, CHAT_TEMPLATE = "answer.base.jinja", "answer.chat.jinja"
WORDS = "words.yaml"
_ENGLISH = "en"

_Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]


class _Example(BaseModel):
    """A worked task."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instruction: _Text
    input: str = ""
    rationale: _Text
    answer: _Text


class _Words(BaseModel):
    """The content of a file of words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: _Text
    solution: _Text
    answer: _Text
    hint: _Text
    intro: _Text
    intro_steps: _Text
    ask: _Text
    ask_steps: _Text
    examples: list[_Example]


@dataclass(frozen=True, slots=True)
class Problem:
    """A task to solve.

    rationale: whether to ask for one.
    hint: the known answer, if the prompt gives it; else empty.
    """

    instruction: str
    input: str
    rationale: bool
    hint: str = ""


@dataclass(frozen=True)
class SolvingPrompts:
    """The templates and words; `files` maps each file name to its text, as used.

    marker: stands before a final answer.
    stop: what ends a completion of the raw template.
    """

    files: Mapping[str, str]
    marker: str
    stop: tuple[str, ...]
    _words: Mapping[str, Any] = field(repr=False, default_factory=dict)

    def text(self, problem: Problem) -> str:
        """Return the raw text that the model continues."""
        return self._library.text(BASE_TEMPLATE, **self._values(problem)).rstrip()

    def messages(self, problem: Problem) -> list[Message]:
        """Return the messages that the model answers."""
        return self._library.messages(CHAT_TEMPLATE, **self._values(problem))

    def _values(self, problem: Problem) -> dict[str, Any]:
        return {
            "words": self._words,
            "instruction": problem.instruction,
            "input": problem.input,
            "rationale": problem.rationale,
            "hint": problem.hint,
        }

    @property
    def _library(self) -> PromptLibrary:
        return PromptLibrary(self.files, Markers(), {}, ())


def load_solving_prompts(language: str | None = None) -> SolvingPrompts:
    """Load the shipped prompts.

    Args:
        language: code of a language; None for English.

    Raises:
        ConfigError: there are no words in this language.
    """
    code = language or _ENGLISH
    words = SHIPPED / f"{code}.yaml"
    if not words.is_file():
        known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
        raise ConfigError(
            f"language {code!r}: --votes and --rationale have no words in it; there are: {known}"
        )
    names = (BASE_TEMPLATE, CHAT_TEMPLATE)
    files = {name: (SHIPPED / name).read_text(encoding="utf-8") for name in names}
    return solving_prompts_from({**files, WORDS: words.read_text(encoding="utf-8")})


def solving_prompts_from(files: Mapping[str, str]) -> SolvingPrompts:
    """Build the prompts from the texts themselves, as a commit keeps them.

    Raises:
        ConfigError: a file is missing or wrong.
    """
    try:
        words = _Words.model_validate(yaml.safe_load(files[WORDS]))
    except (KeyError, ValidationError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{WORDS} of own answers: cannot be used: {why(error)}") from error
    stop = ("\n###", f"\n{words.task}")
    prompts = SolvingPrompts(dict(files), words.answer, stop, words.model_dump())
    prompts._library.check_syntax()
    return prompts
