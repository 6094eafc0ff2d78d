"""The configuration of self-chats: given to `converse`, and kept with each commit of them.

It is no part of a run's own configuration, since runs of any age can have self-chats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fields import Section, semantic
from selfinstruct.common.sampling import SamplingConfig


class ConverseConfig(Section):
    """Self-chats (Xu et al. 2023)."""

    turns: int = semantic(3, "most exchanges of a self-chat, its opening included", ge=2, le=50)
    max_shared: float = semantic(
        0.7, "largest share of a turn that an earlier one may have too", ge=0, le=1
    )
    # As proposals, without their penalty: a turn of the user takes up words of the answer.
    user_sampling: SamplingConfig = SamplingConfig(temperature=0.7, min_p=0.05, max_tokens=120)


def build_converse_config(values: Mapping[str, Any]) -> ConverseConfig:
    """Validate a mapping of values.

    Raises:
        ConfigError: one line for each unknown key or value out of range.
    """
    known = ConverseConfig().model_dump()
    try:
        merged = {**known, **values}
        if isinstance(values.get("user_sampling"), Mapping):
            merged["user_sampling"] = {**known["user_sampling"], **values["user_sampling"]}
        return ConverseConfig.model_validate(merged)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                lines.append(f"converse.{key}: unknown key; keys there are: {', '.join(known)}")
            else:
                name = "--turns" if key == "turns" else f"converse.{key}"
                lines.append(f"{name}: {item['msg']} (got {item['input']!r})")
        raise ConfigError("\n".join(lines)) from error
