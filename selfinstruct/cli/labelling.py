"""What the commands that label answers share: who labels, progress, how to continue."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import log_to, stderr, terminal
from selfinstruct.cli.help import default
from selfinstruct.cli.options import ANSWERS, LABELS, interrupt, renamed
from selfinstruct.labellers.base import MODEL_OPTIONS, Needs
from selfinstruct.labellers.registry import LABELLERS, labeller_of

if TYPE_CHECKING:
    from selfinstruct.engines.registry import EngineKind
    from selfinstruct.labellers.base import Labeller, Processes, Scorer

NAMES = ", ".join(labeller.name for labeller in LABELLERS)


def labeller_name(text: str) -> str:
    """Return the name of a labeller, as an option gives it.

    Raises:
        BadParameter: there is none of that name.
    """
    from selfinstruct.common.errors import ConfigError

    try:
        return labeller_of(text).name
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


def listed(labellers: Iterable[Labeller]) -> str:
    """Return the names of labellers, each with what it says, for the help of an option."""
    return "; ".join(f"{labeller.name} ({labeller.help})" for labeller in labellers)


def _asked_by(needs: Needs) -> str:
    """Return the names of the labellers that ask a model of this kind."""
    return " or ".join(f"`{each.name}`" for each in LABELLERS if each.needs is needs)


JudgeOption = Annotated[
    str | None,
    typer.Option(
        "--judge",
        help=f"MODEL that judges, for the labeller {_asked_by(Needs.JUDGE)}.",
        rich_help_panel=LABELS,
    ),
]
JudgePromptOption = Annotated[
    Path | None,
    typer.Option(
        "--judge-prompt",
        help="Jinja template of the judge's question, with `task`, `first`, `second`.",
        rich_help_panel=LABELS,
    ),
]
RewardModelOption = Annotated[
    str | None,
    typer.Option(
        "--reward-model",
        help=f"MODEL that `train reward` made, for the labeller {_asked_by(Needs.REWARD_MODEL)}.",
        rich_help_panel=LABELS,
    ),
]
PrinciplesOption = Annotated[
    Path | None,
    typer.Option(
        "--principles",
        help="YAML file of principles, for the labeller `principles`."
        + default("the shipped ones"),
        rich_help_panel=LABELS,
    ),
]
TemperatureOption = Annotated[
    float,
    typer.Option(
        "--temperature",
        min=0.01,
        max=5,
        help="Sampling temperature of the answers.",
        rich_help_panel=ANSWERS,
    ),
]
AnswerTokensOption = Annotated[
    int,
    typer.Option(
        "--answer-tokens", min=1, help="Maximum tokens per answer.", rich_help_panel=ANSWERS
    ),
]


FormerTokensOption = Annotated[int | None, renamed("--max-tokens", min=1)]


def scorers_of(
    names: Sequence[str],
    judge: str | None,
    judge_prompt: Path | None,
    reward_model: str | None,
    principles: Path | None = None,
    seed: int = 0,
) -> list[Scorer]:
    """Return who labels, with the models that they ask.

    Args:
        names: of the labellers.
        judge: the model of a judge.
        judge_prompt: the template of a judge.
        reward_model: a reward model.
        principles: a file of them; None: the shipped ones.
        seed: of the draws of principles.

    Raises:
        ConfigError: one lacks its model, or a model is given that nobody asks.
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.labellers.base import Scorer
    from selfinstruct.labellers.duels import read_template
    from selfinstruct.models import resolve_model
    from selfinstruct.prompts.principles import Principles, read_principles

    labellers = [labeller_of(name) for name in names]
    models = {Needs.JUDGE: judge, Needs.REWARD_MODEL: reward_model}
    for needs, model in models.items():
        option = MODEL_OPTIONS[needs]
        asking = [labeller.name for labeller in labellers if labeller.needs is needs]
        if model is not None and not asking:
            raise ConfigError(
                f"{option}: it is not used; label by {_asked_by(needs)}, or leave it out"
            )
        if model is None and asking:
            raise ConfigError(f"{option}: names the model that `{asking[0]}` asks; give it")
    if judge_prompt is not None and judge is None:
        raise ConfigError("--judge-prompt: there is no judge; give --judge too")
    by_principles = [labeller for labeller in labellers if labeller.by_principles]
    if principles is not None and not by_principles:
        raise ConfigError("--principles: it is not used; label by `principles`, or leave it out")
    template = None
    if judge_prompt is not None:
        template = read_template(judge_prompt, by_principles=bool(by_principles))
    drawn = Principles(read_principles(principles), seed) if by_principles else None
    scorers = []
    for labeller in labellers:
        model = models.get(labeller.needs)
        local = resolve_model(model, lambda *_: None) if model is not None else None
        own = drawn if labeller.by_principles else None
        scorers.append(Scorer(labeller, local, template, own))
    return scorers


def processes_of(kind: EngineKind) -> Processes:
    """Return how models are run: each in a process of its own, by this engine."""
    from selfinstruct.engines.isolated import apart, with_engine
    from selfinstruct.labellers.base import Processes

    return Processes(partial(with_engine, kind=kind), apart)


@contextmanager
def resumable(out: Path, stages: Sequence[str]) -> Iterator[Callable[[str, int, int], object]]:
    """Show how far each stage is; on an interruption say how to go on."""
    from selfinstruct.cli.bars import Bars
    from selfinstruct.common.errors import ConfigError, SelfInstructError

    console = terminal()
    log_to(console)
    signal.signal(signal.SIGTERM, interrupt)
    with Bars(console) as progress:
        bars = {name: progress.add_task(name, total=None, visible=False) for name in stages}
        try:
            yield lambda stage, done, total: progress.update(
                bars[stage], completed=done, total=total, visible=True
            )
        except (KeyboardInterrupt, SelfInstructError) as error:
            progress.stop()
            if (out / "answers").is_dir() and not isinstance(error, ConfigError):
                arguments = [word for word in sys.argv[1:] if word != "--resume"]
                command = shlex.join(["selfinstruct", *arguments, "--resume"])
                stderr.print("\nwhat was committed is safe. Continue with:")
                stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
            raise
