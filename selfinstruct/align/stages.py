"""The stages of a chain: its steps, once for each iteration, as commands with their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfinstruct.align.settings import PROMPT, AlignSettings, Contestant, Place, in_iteration
from selfinstruct.align.steps import REVISE, Step, needed, step_of

EVALUATE = "evaluate"
# The base model told to be helpful, honest and harmless, by the shipped prompt (Askell et al. 2021,
# arXiv:2112.00861): what training must be better than.
BASE, PROMPTED = "base", "prompted"


@dataclass(frozen=True, slots=True)
class Stage:
    """A command of the chain, and its files.

    Attributes:
        name: its step, and the iteration where there are several.
        words: the command.
        makes: its last file, in the folder of the chain.
        uses: the names of the stages whose results it reads.
        step: what it is a stage of.
    """

    name: str
    words: tuple[str, ...]
    makes: str
    uses: tuple[str, ...]
    step: Step


def stages_of(out: Path, settings: AlignSettings) -> list[Stage]:
    """Return the commands of the chain, in order."""
    steps = needed(
        settings.chosen, repeated=settings.repeated, by_principles=settings.by_principles
    )
    place = Place(out, settings, policy=str(out / "sft"))
    stages = [_stage(step, place, step.needs) for step in steps if _is_before(step)]
    if settings.repeated:
        for number in range(1, settings.iterations + 1):
            stages += _iteration(steps, number, place)
    else:
        stages += [_stage(step, place, step.needs) for step in steps if not step.once]
    compared = [stage for stage in stages if stage.step.kind in settings.chosen]
    at = replace(place, contestants=tuple(_contestants(out, settings, compared)))
    return [*stages, _stage(step_of(EVALUATE), at, ["sft", *(one.name for one in compared)])]


def policies_of(stages: Sequence[Stage], settings: AlignSettings) -> list[Stage]:
    """Return the stages that make the policy of each iteration; the first is fine-tuning."""
    made = [stage for stage in stages if stage.step.kind in settings.chosen]
    return [next(stage for stage in stages if stage.name == "sft"), *made]


def _is_before(step: Step) -> bool:
    return step.once and step.kind != EVALUATE


def _iteration(steps: Sequence[Step], number: int, place: Place) -> list[Stage]:
    """Return the stages of an iteration, which starts from the policy of the one before it."""
    (method,) = place.settings.chosen
    policy = "sft" if number == 1 else f"{method}-{number - 1}"
    folder = place.shared("sft") if number == 1 else place.of(number - 1, step_of(method).folder)
    at = replace(place, policy=folder, iteration=number)
    stages = []
    for step in (step for step in steps if not step.once):
        uses = {policy if need == "sft" else _named(need, number) for need in step.needs}
        if step.kind == "reward":  # of the pairs of all iterations so far
            uses |= {_named("prefer", earlier) for earlier in range(1, number)}
        stages.append(_stage(step, at, sorted(uses)))
    return stages


def _named(kind: str, number: int) -> str:
    return kind if step_of(kind).once or not number else f"{kind}-{number}"


def _stage(step: Step, at: Place, uses: Sequence[str]) -> Stage:
    words = (*step.words(at), *at.settings.options.get(step.kind, ()))
    number = 0 if step.once else at.iteration
    if step.revised and at.settings.by_principles:
        uses = (*uses, REVISE)
    makes = in_iteration(number, step.makes)
    return Stage(_named(step.kind, number), words, makes, tuple(uses), step)


def _contestants(out: Path, settings: AlignSettings, compared: Sequence[Stage]) -> list[Contestant]:
    models = [Contestant(BASE, settings.model)]
    if settings.methods:
        models.append(Contestant(PROMPTED, settings.model, PROMPT))
    folders = {"sft": "sft", **{one.name: str(Path(one.makes).parent) for one in compared}}
    return [*models, *(Contestant(name, str(out / folder)) for name, folder in folders.items())]
