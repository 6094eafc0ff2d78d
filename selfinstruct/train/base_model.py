"""The model that a training starts from, as other machines can find it: its name and licence."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.common.records import LocalModel
from selfinstruct.models import CATALOGUE

log = logging.getLogger(__name__)

# The hub's word for a licence that is not on its list, or not known here.
UNKNOWN_LICENSE = "other"


@dataclass(frozen=True)
class BaseModel:
    """A base model: its name on the hub (None: it has none that is known here), and its licence."""

    hub_name: str | None
    license: str
    revision: str | None = None


def base_model(model: LocalModel) -> BaseModel:
    """Return the name on the hub and the licence of a model.

    A folder says both in its own card (README.md): a model that was trained here names what it was
    trained from.
    """
    if (entry := CATALOGUE.get(model.name)) is not None:
        return BaseModel(entry.hub_name, entry.license_id)
    card = _card(model.path)
    license = card.get("license")
    known = license if isinstance(license, str) else UNKNOWN_LICENSE
    if not Path(model.name).expanduser().exists():
        # The hub's cache keeps each revision in a folder of its name.
        revision = model.path.name if model.path.parent.name == "snapshots" else None
        return BaseModel(model.name, known, revision)
    named = card.get("base_model")
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    return BaseModel(named if isinstance(named, str) else None, known)


def name_for_others(network: Any, model: LocalModel) -> None:
    """Have an adapter name its base model as other machines find it, not by a folder of this one.

    A folder that was trained here holds other weights than the model it names, so an adapter over
    it keeps the folder's path.
    """
    base = base_model(model)
    is_folder = Path(model.name).expanduser().exists() and model.name not in CATALOGUE
    for config in getattr(network, "peft_config", {}).values():
        if is_folder or base.hub_name is None:
            config.base_model_name_or_path = str(model.path.resolve())
            log.warning(
                "the adapter names its base model by a folder of this machine (%s); elsewhere, "
                "give `train merge` that model with --model",
                model.path,
            )
        else:
            config.base_model_name_or_path = base.hub_name
            config.revision = base.revision


def _card(folder: Path) -> dict[str, Any]:
    """Return the header of a model's README.md; empty if there is none that can be read."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    if not text.startswith("---\n"):
        return {}
    try:
        header = yaml.safe_load(text.removeprefix("---\n").partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return header if isinstance(header, dict) else {}
