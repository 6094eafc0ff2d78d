"""Worked tasks to show a model before its own task: short ones of the shipped seeds."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.inputs.seeds import parse_seeds, read_seed_bytes, shipped_seeds
from selfinstruct.prompts.canonical import user_text

# Worked tasks longer than this cost more context than they teach.
_LONGEST = 60  # words


@dataclass(frozen=True, slots=True)
class Shot:
    """A worked task: the user's text, and the answer."""

    user: str
    answer: str


def worked_shots() -> list[Shot]:
    """Return short worked seed tasks; those without and with an input alternate."""
    path = shipped_seeds()
    worked = [
        (bool(instance.input), Shot(user_text(seed.instruction, instance.input), instance.output))
        for seed in parse_seeds(read_seed_bytes(path), path)
        for instance in seed.instances[:1]
        if len(f"{seed.instruction} {instance.input} {instance.output}".split()) <= _LONGEST
    ]
    with_input = [shot for has_input, shot in worked if has_input]
    without_input = [shot for has_input, shot in worked if not has_input]
    return [shot for pair in zip(without_input, with_input, strict=False) for shot in pair]
