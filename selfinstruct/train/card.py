"""The card of a trained model: what it was trained on, and how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from selfinstruct import __version__
from selfinstruct.common.records import LocalModel
from selfinstruct.models import CATALOGUE
from selfinstruct.store import open_run, run_exists
from selfinstruct.train.dpo import DpoResult, DpoSettings
from selfinstruct.train.reward import RewardResult, RewardSettings
from selfinstruct.train.sft import SftResult, SftSettings


def model_card(
    data: Path,
    chosen: Mapping[str, str],
    model: LocalModel,
    settings: SftSettings,
    result: SftResult,
) -> str:
    """Return README.md of a model that was fine-tuned on `data`.

    `chosen` says what was taken of it: options, and their values.
    """
    entry = CATALOGUE.get(model.name)
    header: dict[str, Any] = {
        "license": "apache-2.0" if entry and entry.license == "Apache-2.0" else "other",
        "tags": ["self-instruct", "sft", "synthetic"],
        "pipeline_tag": "text-generation",
    }
    rows: dict[str, Any] = {
        "trained from": f"{model.name} (digest `{model.digest}`)",
        "trained on": _data(data),
        **chosen,
        "rows": f"{result.train_rows:,}; validated on {result.validation_rows:,}; "
        f"{result.too_long:,} left out as too long",
        "method": settings.method + (f", r {settings.lora_r}" if settings.method != "full" else ""),
        "tokens": f"{result.tokens:,} in {result.steps:,} steps",
        "validation loss": _last(result),
        "longest row": f"{settings.max_length:,} tokens",
        "random seed": settings.seed,
        "other settings": _options(settings.options or {}),
        "made with": f"selfinstruct {__version__}",
    }
    return (
        f"{_card(header, 'Fine-tuned with Self-Instruct', rows)}{_origin(data, chosen)}"
        "The terms of the model it was trained from apply.\n"
    )


def preference_card(
    data: Path,
    model: LocalModel,
    settings: DpoSettings | RewardSettings,
    result: DpoResult | RewardResult,
) -> str:
    """Return README.md of a policy or a reward model that was trained on preferences."""
    entry = CATALOGUE.get(model.name)
    dpo = isinstance(result, DpoResult)
    header: dict[str, Any] = {
        "license": "apache-2.0" if entry and entry.license == "Apache-2.0" else "other",
        "tags": ["self-instruct", "dpo" if dpo else "reward-model", "synthetic"],
        "pipeline_tag": "text-generation" if dpo else "text-classification",
    }
    rows: dict[str, Any] = {
        "trained from": f"{model.name} (digest `{model.digest}`)",
        "trained on": f"preferences `{data.name}`",
        "pairs": f"{result.train_pairs:,}; held out {result.held_out_pairs:,}",
        "dropped": ", ".join(f"{count:,} {name}" for name, count in result.dropped.items()),
        "method": settings.method + (f", r {settings.lora_r}" if settings.method != "full" else ""),
        "tokens": f"{result.tokens:,} in {result.steps:,} steps",
    }
    if isinstance(result, DpoResult) and isinstance(settings, DpoSettings):
        accuracy = result.health.accuracy
        rows |= {"beta": settings.beta, "loss": ", ".join(settings.loss_type)}
        warned = "; ".join(one.found for one in result.health.warnings)
        rows["health"] = warned or "nothing is wrong that the report would show"
    else:
        assert isinstance(result, RewardResult)
        accuracy = result.held_out.accuracy
        if result.checks:
            rows["checks"] = f"{100 * result.checks.accuracy.mean:.0f} % of {result.checks.checks}"
    if result.held_out_pairs:
        ends = f"({100 * accuracy.low:.0f} to {100 * accuracy.high:.0f})"
        rows["held-out accuracy"] = f"{100 * accuracy.mean:.0f} % {ends}"
    rows |= {
        "random seed": settings.seed,
        "other settings": _options(settings.options or {}),
        "made with": f"selfinstruct {__version__}",
    }
    title = "Trained on preferences, by DPO" if dpo else "A reward model"
    return f"{_card(header, title, rows)}The terms of the model it was trained from apply.\n"


def _card(header: Mapping[str, Any], title: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {key} | {value} |" for key, value in rows.items() if value not in ("", None)]
    table = "\n".join(["| | |", "|---|---|", *lines])
    return f"---\n{yaml.safe_dump(dict(header), sort_keys=False)}---\n\n# {title}\n\n{table}\n\n"


def _origin(data: Path, chosen: Mapping[str, str]) -> str:
    if not (data.is_dir() and run_exists(data)):
        return ""
    seeds = ", beside seed tasks that people wrote" if "with seeds" in chosen else ""
    return f"The data was written by language models and judged by rules alone{seeds}. "


def _data(data: Path) -> str:
    if data.is_dir() and run_exists(data):
        run = open_run(data)
        fingerprint = run.meta.get("fingerprint", "")
        return f"run `{run.name}` (fingerprint `{fingerprint}`, by {run.meta['model']['name']})"
    return f"`{data.name}`"


def _last(result: SftResult) -> str:
    if not result.validation_losses:
        return ""
    return f"{min(loss for _, loss in result.validation_losses):.4f} nats per token"


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in options.items())
