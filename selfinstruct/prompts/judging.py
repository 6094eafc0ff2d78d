"""Rubrics: what a judge is asked about a task and its output, and on which scale it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import Markers
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.prompts.library import PromptLibrary

SHIPPED = Path(__file__).parent / "rubrics"
_PROMPT = "judge.jinja"

_Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]


class Scale(StrEnum):
    """How a judge answers."""

    YES_NO = "yes-no"
    ONE_TO_FIVE = "1-5"


class _Content(BaseModel):
    """The content of a rubric's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Text
    about: _Text
    scale: Scale
    questions: Annotated[list[_Text], Field(min_length=1)]
    prompt: _Text


@dataclass(frozen=True)
class Rubric:
    """A rubric; `text` is its file, as a commit keeps it."""

    name: str
    scale: Scale
    questions: tuple[str, ...]
    prompt: str
    text: str

    def ask(self, question: str, task: Mapping[str, str]) -> str:
        """Return the prompt of a question about a task: `instruction`, `input` and `output`."""
        library = PromptLibrary({_PROMPT: self.prompt}, Markers(), {}, ())
        return library.text(_PROMPT, question=question, **task)


def load_rubric(named: str) -> Rubric:
    """Load a shipped rubric, or one from a file.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    path = shipped.get(named, Path(named))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--rubric {named}: {why(error)}; {did_you_mean(named, list(shipped))}give a file, or "
            f"one of {', '.join(shipped)}"
        ) from error
    return rubric_from(text, str(path))


def rubric_from(text: str, source: str) -> Rubric:
    """Build a rubric from the text of its file.

    Args:
        text: the YAML.
        source: where it is from, for messages.

    Raises:
        ConfigError: it cannot be used.
    """
    try:
        content = _Content.model_validate(yaml.safe_load(text))
    except (ValidationError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{source}: is no rubric: {why(error)}") from error
    questions = tuple(content.questions)
    rubric = Rubric(content.name, content.scale, questions, content.prompt, text)
    task = {"instruction": "i", "input": "", "output": "o"}
    rubric.ask(questions[0], task)
    return rubric
