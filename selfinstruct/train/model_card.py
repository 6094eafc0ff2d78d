"""README.md of a trained model: what it was trained on, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from selfinstruct import __version__
from selfinstruct.inputs.hub import hub_name
from selfinstruct.store import open_run, run_exists
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.base_model import base_model
from selfinstruct.train.health.verdict import Interval
from selfinstruct.train.recipe import Card, Settings, Source, Training


def card_text(card: Card, training: Training[Any, Any]) -> str:
    """Return README.md: the recipe's part, and what all trainings say."""
    model, settings = training.job.model, training.job.settings
    base = base_model(model)
    header: dict[str, Any] = {
        "license": base.license,
        **({} if base.hub_name is None else {"base_model": base.hub_name}),
        "library_name": "transformers" if settings.merge else "peft",
        "tags": ["self-instruct", card.tag, "synthetic"],
        "pipeline_tag": card.task,
    }
    rows: dict[str, Any] = {
        "trained from": f"{model.name} (digest `{model.digest}`)",
        "trained on": card.trained_on,
        **card.data,
        "method": _method(settings),
        "tokens": f"{training.tokens:,} in {training.steps:,} steps",
        **card.outcome,
        "random seed": settings.seed,
        "other settings": _options(settings.options or {}),
        "made with": f"selfinstruct {__version__}",
    }
    lines = [f"| {key} | {value} |" for key, value in rows.items() if value not in ("", None)]
    table = "\n".join(["| | |", "|---|---|", *lines])
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {card.title}\n\n{table}\n\n"
        f"{card.origin}The terms of the model it was trained from apply.\n"
    )


def _method(settings: Settings) -> str:
    """Return how a model was trained: the method, and the adapter's shape where it has one."""
    if settings.method == "full":
        return "full"
    shape = settings.adapter or Adapter()
    parts = {
        f"alpha {shape.alpha}": shape.alpha is not None,
        f"dropout {shape.dropout}": shape.dropout is not None,
        f"on {', '.join(shape.targets or ())}": bool(shape.targets),
        "DoRA": bool(shape.dora),
    }
    return ", ".join([settings.method, f"r {settings.lora_r}", *(p for p in parts if parts[p])])


def data_name(data: Path) -> str:
    """Return the name of a run or a file; of a run also its fingerprint and its model."""
    if data.is_dir() and run_exists(data):
        run = open_run(data)
        fingerprint = run.meta.get("fingerprint", "")
        return f"run `{run.name}` (fingerprint `{fingerprint}`, by {run.meta['model']['name']})"
    return f"`{short_name(data)}`"


def short_name(data: Path | str) -> str:
    """Return the name of a file or folder without its folder; a name on the hub as it is."""
    is_on_hub = hub_name(str(data)) is not None and not Path(data).exists()
    return str(data) if is_on_hub else Path(data).name


def data_names(source: Source) -> str:
    """Return the names of all data sets of a training."""
    return "; ".join(data_name(Path(data)) for data in source.names)


def origin(source: Source) -> str:
    """Return who wrote the data, if that is known: for a run."""
    if not all(run_exists(Path(data)) for data in source.names):
        return ""
    seeds = ", beside seed tasks that people wrote" if "with seeds" in source.choices else ""
    return f"The data was written by language models and judged by rules alone{seeds}. "


def preferences_name(source: Source) -> str:
    """Return the names of the folders or files of preferences."""
    names = (f"`{short_name(data)}`" for data in source.names)
    return f"preferences {', '.join(names)}"


def pair_rows(train: int, held_out: int, dropped: Mapping[str, int]) -> dict[str, str]:
    """Return the rows of the table that count pairs."""
    return {
        "pairs": f"{train:,}; held out {held_out:,}",
        "dropped": ", ".join(f"{count:,} {reason}" for reason, count in dropped.items()),
    }


def held_out_accuracy(accuracy: Interval) -> str:
    """Return the accuracy in percent with its interval; an empty text without held-out pairs."""
    if math.isnan(accuracy.mean):
        return ""
    ends = f"({100 * accuracy.low:.0f} to {100 * accuracy.high:.0f})"
    return f"{100 * accuracy.mean:.0f} % {ends}"


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in options.items())
