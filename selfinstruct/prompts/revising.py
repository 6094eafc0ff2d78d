"""Prompts of critiques and revisions: templates for both modes, and a worked example.

They are no part of a run's own templates: each commit of revisions keeps those that it was made
with, since runs of any age can have some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.common.records import Markers, Message, Stage
from selfinstruct.prompts.library import PromptLibrary
from selfinstruct.prompts.principles import Principle

FOLDER = Path(__file__).parent / "revise"
EXAMPLE = "example.yaml"
TEMPLATES = tuple(
    f"{stage}.{mode}.jinja" for stage in (Stage.CRITIQUE, Stage.REVISE) for mode in ("base", "chat")
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a critique or a revision is asked about.

    task: as a user writes it. critique: empty where it is asked for.
    """

    task: str
    draft: str
    principle: Principle
    critique: str = ""


@dataclass(frozen=True)
class RevisePrompts:
    """The templates of revisions; `files` maps each file name to its text, as used."""

    files: Mapping[str, str]

    def text(self, template: str, asked: Asked) -> str:
        """Return what is asked as raw text."""
        return self._library.text(template, example=self._example, **asdict(asked)).rstrip()

    def messages(self, template: str, asked: Asked) -> list[Message]:
        """Return what is asked as a conversation."""
        return self._library.messages(template, example=self._example, **asdict(asked))

    def shown(self, mode: str) -> list[str]:
        """Return the texts of the worked example that a model may copy, as `base` or `chat`.

        The first prompts for chat models showed none.
        """
        if "example" not in self.files[f"{Stage.REVISE}.{mode}.jinja"]:
            return []
        texts = [str(self._example[key]) for key in ("draft", "critique", "text")]
        return texts + [str(part) for part in self._example.get("copied_by", ())]

    @cached_property
    def _library(self) -> PromptLibrary:
        return PromptLibrary(self.files, Markers(), {}, ())

    @cached_property
    def _example(self) -> dict[str, Any]:
        example: dict[str, Any] = yaml.safe_load(self.files[EXAMPLE])
        return example


def load_revise_prompts() -> RevisePrompts:
    """Load the shipped prompts of revisions."""
    names = (*TEMPLATES, EXAMPLE)
    return RevisePrompts({name: (FOLDER / name).read_text(encoding="utf-8") for name in names})
