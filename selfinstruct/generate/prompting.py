"""The prompting of each stage: what the user says, what is measured, or what a probe finds."""

from __future__ import annotations

from collections.abc import Mapping

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LOOP_STAGES, LocalModel
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.styles import STYLES, Style
from selfinstruct.engines.base import Engine
from selfinstruct.store import Run

# Before, a model with a chat template was prompted with it.
PROBE_SINCE = 3


def known_modes(
    model: LocalModel, engine: Engine, config: RunConfig, run: Run | None
) -> dict[str, str] | None:
    """Return the mode of each stage; None where only a probe can tell.

    Args:
        model: one of the catalogue brings the modes that were measured for it.
        engine: says whether there is a chat template.
        config: the mode that the user gives, or `auto`; the style of proposals.
        run: keeps the modes that it started with; None for a new run.

    Raises:
        ConfigError: the style needs a chat template.
    """
    if run is not None:
        return dict(run.meta["model"]["prompting"])
    mode: str = config.model.prompting
    style = STYLES[config.propose.style]
    if style.chat_only:
        check_chat(style, model, engine, mode)
        mode = "chat"
    if mode == "auto":
        if model.prompting is not None:
            return dict(model.prompting)
        if not engine.capabilities.texts:
            mode = "chat"
        elif not engine.has_chat_template:
            mode = "base"
        elif config.rules_version < PROBE_SINCE:
            mode = "chat"
        else:
            return None
    return {str(stage): mode for stage in LOOP_STAGES}


def check_chat(style: Style, model: LocalModel, engine: Engine, mode: str) -> None:
    """Refuse a style of chat models for a model that is none, or is to be prompted otherwise.

    Raises:
        ConfigError: says which.
    """
    if mode == "base":
        raise ConfigError(
            f"--prompting base: --style {style.name} needs the model's chat template; leave "
            "--prompting out, or use another --style"
        )
    if not engine.has_chat_template:
        raise ConfigError(
            f"model {model.name!r}: has no chat template, which --style {style.name} needs; use a "
            "chat model, or another --style"
        )


def modes_text(modes: Mapping[str, str]) -> str:
    """Return `base`, or `propose base, classify base, instances chat` where they differ."""
    if len(set(modes.values())) == 1:
        return next(iter(modes.values()))
    return ", ".join(f"{stage} {mode}" for stage, mode in modes.items())
