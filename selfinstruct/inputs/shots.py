"""Worked tasks to show a model before its own: short ones of the shipped seeds."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.inputs.seeds import parse_seeds, read_seed_bytes, shipped_seeds
from selfinstruct.prompts.canonical import user_text

# Worked tasks longer than this cost more context than they teach.
_LONGEST = 60  # words


@dataclass(frozen=True, slots=True)
class Shot:
    """A worked task: what a user wrote, and the answer."""

    user: str
    answer: str


def worked_shots() -> list[Shot]:
    """Return short worked seed tasks, those without an input and those with one in turn."""
    path = shipped_seeds()
    worked = [
        (bool(one.input), Shot(user_text(seed.instruction, one.input), one.output))
        for seed in parse_seeds(read_seed_bytes(path), path)
        for one in seed.instances[:1]
        if len(f"{seed.instruction} {one.input} {one.output}".split()) <= _LONGEST
    ]
    given = [shot for has_input, shot in worked if has_input]
    alone = [shot for has_input, shot in worked if not has_input]
    return [shot for pair in zip(alone, given, strict=False) for shot in pair]
