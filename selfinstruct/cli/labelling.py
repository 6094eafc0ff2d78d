"""What the commands that label answers share: who labels, progress, how to go on."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import log_to, stderr, terminal
from selfinstruct.cli.options import interrupt

if TYPE_CHECKING:
    from selfinstruct.common.records import LocalModel
    from selfinstruct.engines.isolated import Advance
    from selfinstruct.labellers.reward import Answered
    from selfinstruct.preferences.label import Scorer


class LabellerName(StrEnum):
    """The labellers of `preferences.label`, without importing it."""

    LIKELIHOOD = "likelihood"
    JUDGE = "judge"
    REWARD = "reward"
    REFERENCE = "reference"


JudgeOption = Annotated[str | None, typer.Option("--judge", help="MODEL that judges, for `judge`.")]
JudgePromptOption = Annotated[
    Path | None,
    typer.Option("--judge-prompt", help="What it is asked: Jinja; `task`, `first`, `second`."),
]
RewardModelOption = Annotated[
    str | None,
    typer.Option("--reward-model", help="MODEL of `train reward`, for `reward`."),
]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", min=0.01, max=5, help="They are sampled at.")
]


def scorers_of(
    labellers: Sequence[LabellerName],
    judge: str | None,
    judge_prompt: Path | None,
    reward_model: str | None,
) -> list[Scorer]:
    """Return who labels, with the models that they ask.

    Raises:
        ConfigError: one lacks its model, or a model is given that nobody asks.
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.labellers.judge import read_template
    from selfinstruct.models import resolve_model
    from selfinstruct.preferences.label import Labeller, Scorer

    given = {
        LabellerName.JUDGE: ("--judge", judge),
        LabellerName.REWARD: ("--reward-model", reward_model),
    }
    for labeller, (option, model) in given.items():
        if model is not None and labeller not in labellers:
            raise ConfigError(f"{option}: nobody asks it; label by `{labeller}`, or leave it out")
        if model is None and labeller in labellers:
            raise ConfigError(f"{option}: names the model that `{labeller}` asks; give it")
    if judge_prompt is not None and judge is None:
        raise ConfigError("--judge-prompt: nobody is asked; give --judge too")
    template = read_template(judge_prompt)
    found = []
    for labeller in labellers:
        _, model = given.get(labeller, ("", None))
        local = resolve_model(model, lambda *_: None) if model is not None else None
        found.append(Scorer(Labeller(str(labeller)), local, template))
    return found


def reward_scores_apart(
    model: LocalModel, answers: Sequence[Answered], advance: Advance
) -> list[float]:
    """Have a reward model score answers in a process of its own."""
    from selfinstruct.engines.isolated import apart
    from selfinstruct.labellers.reward import reward_scores

    return apart(partial(_scores, reward_scores, model, answers), advance, model.name)


def _scores(
    reward_scores: Callable[..., list[float]],
    model: LocalModel,
    answers: Sequence[Answered],
    advance: Advance,
) -> list[float]:
    return reward_scores(model, answers, advance=advance)


@contextmanager
def resumable(out: Path, stages: Sequence[str]) -> Iterator[Callable[[str, int, int], object]]:
    """Show how far each stage is; on an interruption say how to go on."""
    from rich.progress import Progress

    from selfinstruct.common.errors import ConfigError, SelfInstructError

    console = terminal()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    with Progress(console=console, transient=True) as progress:
        bars = {name: progress.add_task(name, total=None, visible=False) for name in stages}
        try:
            yield lambda stage, done, wanted: progress.update(
                bars[stage], completed=done, total=wanted, visible=True
            )
        except (KeyboardInterrupt, SelfInstructError) as error:
            progress.stop()
            if (out / "answers").is_dir() and not isinstance(error, ConfigError):
                arguments = [one for one in sys.argv[1:] if one != "--resume"]
                command = shlex.join(["selfinstruct", *arguments, "--resume"])
                stderr.print("\nwhat was committed is safe. Go on with:")
                stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
            raise
