"""Merges an adapter into its base model, apart from the training: `selfinstruct train merge`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfinstruct import __version__
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import LocalModel
from selfinstruct.models import CATALOGUE, resolve_model
from selfinstruct.models.endpoint import require_folder
from selfinstruct.models.safe import SAFE
from selfinstruct.train import machine
from selfinstruct.train.base_model import base_model
from selfinstruct.train.checkpoints import (
    ADAPTER,
    CHECKPOINTS,
    last_checkpoint,
    nothing_left,
    refused,
    written,
)
from selfinstruct.train.libraries import quiet, require_trl
from selfinstruct.train.network import (
    Loading,
    load_network,
    load_tokenizer,
    merged_network,
    merged_reward,
)
from selfinstruct.train.saving import save_model

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter on disk: its folder, the name of its base model, and whether it scores answers."""

    path: Path
    base: str
    scores: bool


def read_adapter(folder: Path) -> AdapterFolder:
    """Return the adapter of a folder: one that `--adapter-only` saved, or of a training.

    Of a training's folder it is the best adapter, once the training has ended, or else that of the
    newest whole checkpoint.

    Raises:
        ConfigError: there is none. Says where it was looked for.
    """
    checkpoints = folder / CHECKPOINTS
    places = [folder, checkpoints / ADAPTER, last_checkpoint(checkpoints)]
    for place in places:
        if place is not None and (place / _CONFIG).is_file():
            break
    else:
        raise ConfigError(
            f"{folder}: holds no adapter ({_CONFIG}); give a folder of `train … --adapter-only`, "
            "or of a training with adapters whose merge did not end"
        )
    if not (place / _WEIGHTS).is_file():
        raise ConfigError(
            f"{place}: has no {_WEIGHTS}; weights in another form may run code when they are read, "
            "so save the adapter with safetensors"
        )
    try:
        config = json.loads((place / _CONFIG).read_text(encoding="utf-8"))
        base = str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{place / _CONFIG}: cannot be used ({why(error)})") from error
    return AdapterFolder(place, base, config.get("task_type") == "SEQ_CLS")


def model_of(adapter: AdapterFolder, name: str | None) -> LocalModel:
    """Return the base model: of the user's name, or of the one that the adapter has.

    Raises:
        ConfigError: it cannot be found here. Says what to do.
    """
    known = {entry.hub_name: entry.name for entry in CATALOGUE.values()}
    wanted = name or known.get(adapter.base, adapter.base)
    try:
        model = resolve_model(wanted, lambda *_: None)
    except ConfigError as error:
        if name is not None:
            raise
        raise ConfigError(
            f"{adapter.path}: its base model {adapter.base!r} is not found here; name it with "
            "--model"
        ) from error
    require_folder(model)
    return model


def merge_adapter(adapter: AdapterFolder, model: LocalModel, out: Path) -> None:
    """Merge an adapter into its base model in float32, and save the whole model.

    Args:
        adapter: of `read_adapter`.
        model: its base model.
        out: the folder of the merged model, which must be empty or not exist.

    Raises:
        ConfigError: the adapter does not fit the model, or the folder holds something.
        TrainError: memory or disk is full.
    """
    require_trl()
    quiet()
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty; give another --out")
    with nothing_left(out), written(out, what="merging the adapter"):
        network, tokenizer = _loaded(adapter, model)
        finish = merged_reward if adapter.scores else merged_network
        merged = finish(network, tokenizer, model, "lora")
        out.mkdir(parents=True, exist_ok=True)
        report = {"objective": "merge", "adapter": adapter.path.name, "model": model.name}
        save_model(merged, tokenizer, out, report, {"README.md": _card(adapter, model)})


def _loaded(adapter: AdapterFolder, model: LocalModel) -> tuple[Any, Any]:
    from peft import PeftModel
    from transformers import AutoTokenizer

    with refused(f"{model.path}: cannot be loaded"):
        # In the number type of the training, so that the result is that of a merge at its end.
        loading = Loading("lora", bfloat16=machine.this_machine().bfloat16)
        base, _ = load_network(model, loading, reward=adapter.scores)
    with refused(f"{adapter.path}: cannot be loaded"):
        try:
            network = PeftModel.from_pretrained(base, adapter.path)
        except RuntimeError as error:
            if "size mismatch" not in str(error):
                raise
            raise ConfigError(
                f"{adapter.path}: was not trained on {model.name} (its matrices have other "
                "sizes); name the base model with --model"
            ) from error
    if (adapter.path / "tokenizer_config.json").is_file():
        with refused(f"{adapter.path}: its tokenizer cannot be loaded"):
            return network, AutoTokenizer.from_pretrained(adapter.path, **SAFE)
    return network, load_tokenizer(model)


def _card(adapter: AdapterFolder, model: LocalModel) -> str:
    base = base_model(model)
    header: dict[str, Any] = {
        "license": base.license,
        **({} if base.hub_name is None else {"base_model": base.hub_name}),
        "library_name": "transformers",
        "tags": ["self-instruct", "synthetic"],
        "pipeline_tag": "text-classification" if adapter.scores else "text-generation",
    }
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# A merged adapter\n\n"
        f"| | |\n|---|---|\n| trained from | {model.name} (digest `{model.digest}`) |\n"
        f"| made with | selfinstruct {__version__} |\n\n"
        "The terms of the model it was trained from apply.\n"
    )
