"""Styles of proposal: what a prompt for new tasks shows, and what the model is to write.

The list is data: `generate/styles.py` has the prompts of each style, by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selfinstruct.common.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Style:
    """One style.

    help: what a proposal shows and asks for.
    source: the paper.
    templates: names of its templates, whose files are in `prompts/styles`; none for the style
        whose templates every run has.
    recommended: values of the config that suit it, nested; the user's own lie over them.
    whole: whether a proposal gives the whole task, so that only its output is asked for.
    rewrites: whether new tasks are rewritings of tasks of the pool.
    chat_only: whether it needs the model's chat template.
    paraphrases: whether accepted tasks can be put in other words (`propose.paraphrases`).
    """

    name: str
    help: str
    source: str
    templates: tuple[str, ...] = ()
    recommended: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    rewrites: bool = False
    chat_only: bool = False
    paraphrases: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A way to rewrite a task; `evolve.yaml` has its words. `widens`: it gives another task."""

    name: str
    help: str
    widens: bool = False


SELF_INSTRUCT = Style(
    name="self-instruct",
    help="a list of tasks, continued",
    source="Wang et al. 2022, arXiv:2212.10560",
)
UNNATURAL = Style(
    name="unnatural",
    help="three tasks with input and constraints, then a fourth",
    source="Honovich et al. 2022, arXiv:2212.09689",
    templates=("unnatural", "paraphrase"),
    recommended={"propose": {"in_context": 3, "from_seeds": 1, "list_length": 4}},
    whole=True,
    paraphrases=True,
)
EVOLVE = Style(
    name="evolve",
    help="one task of the pool, made harder or turned into a rarer one",
    source="Xu et al. 2023, arXiv:2304.12244",
    templates=("evolve",),
    recommended={"propose": {"sampling": {"presence_penalty": 0.0, "max_tokens": 200}}},
    rewrites=True,
)
MAGPIE = Style(
    name="magpie",
    help="nothing: a chat model writes a user's message",
    source="Xu et al. 2024, arXiv:2406.08464",
    templates=("magpie",),
    recommended={
        "propose": {"sampling": {"temperature": 1.0, "presence_penalty": 0.0, "max_tokens": 300}}
    },
    whole=True,
    chat_only=True,
)
STYLES: dict[str, Style] = {
    style.name: style for style in (SELF_INSTRUCT, UNNATURAL, EVOLVE, MAGPIE)
}

OPERATIONS = (
    Operation("constraint", "one more requirement"),
    Operation("deepen", "the question goes deeper"),
    Operation("concrete", "general words become specific ones"),
    Operation("reasoning", "several steps of reasoning are needed"),
    Operation("input", "the material to work on is harder"),
    Operation("breadth", "another, rarer task of the same field", widens=True),
)
# What a paraphrase has in the column `operation`.
PARAPHRASE = "paraphrase"


def no_style(name: str) -> str:
    """Return the message for an unknown style."""
    return f"no style {name!r}; {did_you_mean(name, STYLES)}give one of: {', '.join(STYLES)}"
