"""The configuration of revisions: given to `revise`, and kept with each commit of them.

It is no part of a run's own configuration, since runs of any age can have revisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fields import Section, semantic
from selfinstruct.common.sampling import SamplingConfig

_OPTIONS = {"rounds": "--rounds", "draft": "--draft"}


class ReviseConfig(Section):
    """Revisions (Bai et al. 2022)."""

    rounds: int = semantic(1, "steps of critique and revision for each draft", ge=1, le=20)
    draft: bool = semantic(False, "the model writes the drafts itself")
    may_decline: bool = semantic(True, "a draft or revision may decline the task")
    labels: bool = semantic(False, "labels of classification tasks are revised, too")
    critique_sampling: SamplingConfig = SamplingConfig(temperature=0.7, min_p=0.05, max_tokens=160)


def build_revise_config(values: Mapping[str, Any]) -> ReviseConfig:
    """Validate a mapping of values.

    Raises:
        ConfigError: one line for each unknown key or value out of range.
    """
    known = ReviseConfig().model_dump()
    try:
        merged = {**known, **values}
        if isinstance(values.get("critique_sampling"), Mapping):
            sampling = {**known["critique_sampling"], **values["critique_sampling"]}
            merged["critique_sampling"] = sampling
        return ReviseConfig.model_validate(merged)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                lines.append(f"revise.{key}: unknown key; keys there are: {', '.join(known)}")
            else:
                name = _OPTIONS.get(key, f"revise.{key}")
                lines.append(f"{name}: {item['msg']} (got {item['input']!r})")
        raise ConfigError("\n".join(lines)) from error
