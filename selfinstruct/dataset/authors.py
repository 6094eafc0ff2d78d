"""Who made an export: models, templates over somebody's data, or both; under which licences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfinstruct.models import CATALOGUE


def makers(models: Sequence[Mapping[str, Any]], data: Sequence[str]) -> str:
    """Return who made the examples: models, or templates from somebody's data."""
    made = []
    if models:
        made.append(
            f"written by {' and '.join(map(model_title, models))} with "
            "[Self-Instruct](https://arxiv.org/abs/2212.10560) from seed tasks"
        )
    if data:
        made.append(f"made by templates from rows of data ({', '.join(data)})")
    return ", and ".join(made)


def caution(models: Sequence[Mapping[str, Any]], data: Sequence[str]) -> str:
    """Return what to mind before the examples are used."""
    sentences = []
    if models:
        whose = "The" if data else "All"
        what = " that a model wrote were" if data else " were written by a language model and"
        sentences.append(
            f"{whose} instructions, inputs and outputs{what} judged by rules alone: some are "
            "wrong, odd or biased, as their author is. The terms of the model and of the seed "
            "tasks apply to what was made with them."
        )
    if data:
        sentences.append(
            "The instructions of imported tasks come from templates, their inputs and outputs "
            "from the data: its mistakes are in them, and its terms apply."
        )
    return " ".join(sentences)


def licences(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the licences of the models, each once."""
    entries = [CATALOGUE.get(str(model["name"])) for model in models]
    names = [entry.license if entry is not None else "see the model" for entry in entries]
    return list(dict.fromkeys(names))


def model_title(model: Mapping[str, Any]) -> str:
    """Return the title of a model, with the digest of its files."""
    entry = CATALOGUE.get(str(model["name"]))
    title = entry.title if entry is not None else str(model["name"])
    return f"{title} (digest `{model['digest']}`)"
