"""What every labeller keeps to: scored answers in, and how any two of them compare out.

A labeller is one record, `Labeller`, in the list of `registry.py`. Its function `label` is given
a `Labelling`: prompts, several answers to each, and what it may ask. It returns a `Labelled`:
the same answers with scores, higher for better ones, and a margin for any two of them. Who wants
scores alone (best-of, RL) reads `Labelled.scores`; who wants pairs asks for margins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel, Message

if TYPE_CHECKING:
    from selfinstruct.engines.isolated import Advance, Loaded, Work
    from selfinstruct.prompts.principles import Principles

POLICY, RUN = "policy", "run"


@dataclass(frozen=True, slots=True)
class TaskPrompt:
    """A task as a user writes it; `reference` is its accepted output.

    `group` is its instruction: prompts of one group are never split. `earlier` are the turns before
    it: a system prompt, and turns that are answered; none of them is of tools. `expect` is what a
    good answer does (`expected.Expected`); empty where nothing is said.
    """

    id: str
    group: str
    user: str
    reference: str
    earlier: tuple[Message, ...] = ()
    expect: str = ""

    @property
    def turns(self) -> tuple[Message, ...]:
        """The whole conversation that is to be answered."""
        return (*self.earlier, Message(role="user", content=self.user))

    @property
    def shown(self) -> str:
        """What is asked, as one text for a judge."""
        if not self.earlier:
            return self.user
        return "\n\n".join(f"{turn['role'].title()}: {turn['content']}" for turn in self.turns)

    @property
    def compared(self) -> dict[str, Any]:
        """What must be the same where work is continued; folders of earlier lack later fields."""
        later = ("earlier", "expect")
        return {k: v for k, v in asdict(self).items() if v or k not in later}


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """An answer to a task, and what its labeller says of it.

    `score` is higher for better answers, NaN where there is none; `contrast` is what a labeller
    keeps beside it. `source` is `policy`, or `run` for the task's accepted output.
    """

    id: str
    prompt_id: str
    text: str
    num_tokens: int
    finished: bool
    source: str = POLICY
    score: float = math.nan
    contrast: float = math.nan


@dataclass(frozen=True, slots=True)
class Vote:
    """What a judge says of two answers to a prompt, by their ids (`duels.Verdict`)."""

    prompt_id: str
    first: str
    second: str
    preference: float
    margin: float


Answers = Mapping[str, Sequence[ScoredAnswer]]
"""Answers by the id of their prompt."""

Margin = Callable[[ScoredAnswer, ScoredAnswer], float]
"""By how much the first answer is better; NaN where the labeller does not decide."""


class WithEngine(Protocol):
    """Has work done with an engine in a process of its own (`isolated.with_engine`)."""

    def __call__(self, loaded: Loaded, work: Work[Any], advance: Advance) -> Any: ...


class Alone(Protocol):
    """Has work done in a process of its own (`isolated.apart`)."""

    def __call__(self, work: Callable[[Advance], Any], advance: Advance, name: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Processes:
    """How models are run: each in a process of its own, so that its memory is free afterwards.

    What is handed to them can be pickled: functions of a module, and `partial`s of them.
    """

    with_engine: WithEngine
    alone: Alone


@dataclass(frozen=True, slots=True)
class VoteStore:
    """Where a judge's votes are kept as they come. Goes to the judge's process: it is pickled."""

    read: Callable[[], list[Vote]]
    commit: Callable[[Sequence[Vote]], None]


@dataclass(frozen=True)
class Labelling:
    """What a labeller is given.

    prompts: what was asked.
    answers: several to each prompt; those that the policy scored as it wrote have their scores.
    processes: run the models that it asks.
    votes: keep what a judge says.
    advance: told (done, of how many).
    model: the model that it asks, if it needs one.
    template: what a judge is shown; None: the labeller's own.
    dtype: of the model's weights, as the user asked for it.
    principles: one is drawn for each two answers, where the labeller compares by principles.
    """

    prompts: Sequence[TaskPrompt]
    answers: Answers
    processes: Processes
    votes: VoteStore
    advance: Advance
    model: LocalModel | None = None
    template: str | None = None
    dtype: str = "auto"
    principles: Principles | None = None

    @property
    def asked_model(self) -> LocalModel:
        """The model that the labeller asks; a `Scorer` is refused without it."""
        assert self.model is not None
        return self.model


def score_margin(first: ScoredAnswer, second: ScoredAnswer) -> float:
    """Return how much higher the first answer is scored."""
    return first.score - second.score


def any_two(_first: ScoredAnswer, _second: ScoredAnswer) -> bool:
    """Whether two answers are to be compared: always."""
    return True


@dataclass(frozen=True)
class Labelled:
    """Answers by prompt, with scores (higher is better), and how two of them compare.

    A labeller may put the accepted output among the answers of its prompt.
    """

    answers: Answers
    margin_of: Margin = score_margin
    may_pair: Callable[[ScoredAnswer, ScoredAnswer], bool] = any_two

    def scores(self, answers: Answers) -> dict[str, list[float]]:
        """Return the scores of the answers that were given, by prompt, in their order."""
        score_of = {answer.id: answer.score for own in self.answers.values() for answer in own}
        return {key: [score_of[answer.id] for answer in own] for key, own in answers.items()}


class Needs(StrEnum):
    """What a labeller cannot do without."""

    NOTHING = "nothing"
    OWN_SCORES = "the policy's scores of its own answers"
    REFERENCE = "an accepted output for each task"
    EXPECTED = "a column `expect` in each row"
    JUDGE = "a judge"
    REWARD_MODEL = "a reward model"


# The option that names the model, where a labeller asks one.
MODEL_OPTIONS = {Needs.JUDGE: "--judge", Needs.REWARD_MODEL: "--reward-model"}


def by_digest(model: LocalModel, _dtype: str) -> str:
    """Return what a model is known by whose type of weights is always the same."""
    return model.digest


def any_model(_model: LocalModel) -> None:
    """Refuse no model."""


@dataclass(frozen=True)
class Labeller:
    """One labeller.

    name: as `--labeller` and `--measure` give it.
    help: what it says of an answer, in half a line.
    needs: what it cannot do without.
    label: scores answers.
    details: for the docs, after `help`.
    require: raises ConfigError for a model that it cannot ask.
    labelled_by: what its model is known by, of (model, dtype as asked for). A folder holds it:
        labels of another model are not mixed in.
    template: what a judge is shown, unless the user gives another; None: it shows none.
    by_principles: whether it compares answers by principles.
    """

    name: str
    help: str
    needs: Needs
    label: Callable[[Labelling], Labelled]
    details: str = ""
    require: Callable[[LocalModel], None] = any_model
    labelled_by: Callable[[LocalModel, str], str] = by_digest
    template: str | None = None
    by_principles: bool = False

    @property
    def may_choose(self) -> bool:
        """Whether it may choose answers to train on: not by the solution."""
        return self.needs is not Needs.REFERENCE


@dataclass(frozen=True)
class Scorer:
    """A labeller with the model that it asks, and what a judge is shown if not the usual.

    principles: for a labeller that compares by principles.
    """

    labeller: Labeller
    model: LocalModel | None = None
    own_template: str | None = None
    principles: Principles | None = None

    def __post_init__(self) -> None:
        """Refuse a labeller that lacks its model, and a model that nobody asks.

        Raises:
            ConfigError: naming the option.
        """
        name, option = self.labeller.name, MODEL_OPTIONS.get(self.labeller.needs)
        if option is not None and self.model is None:
            raise ConfigError(f"{option}: names the model that `{name}` asks; give it")
        if option is None and self.model is not None:
            raise ConfigError(
                f"`{name}` asks no other model; leave {' and '.join(MODEL_OPTIONS.values())} out"
            )
        if self.labeller.by_principles and self.principles is None:
            raise ConfigError(f"--principles: `{name}` compares by principles; give a file of them")
        if self.model is not None:
            self.labeller.require(self.model)

    @property
    def template(self) -> str | None:
        """What a judge is shown; None for a labeller that shows none."""
        return (
            None if self.labeller.template is None else self.own_template or self.labeller.template
        )

    @property
    def scored_by_policy(self) -> bool:
        """Whether the policy scores its answers as it writes them."""
        return self.labeller.needs is Needs.OWN_SCORES

    def labelled_by(self, dtype: str) -> str | None:
        """Return what the model is known by that labels, and its principles; None for no model."""
        if self.model is None:
            return None
        known = self.labeller.labelled_by(self.model, dtype)
        return known if self.principles is None else f"{known} {self.principles.digest}"


def by_prompt(prompts: Iterable[str], answers: Iterable[ScoredAnswer]) -> Answers:
    """Return the answers of each prompt, in their order."""
    answers_of: dict[str, list[ScoredAnswer]] = {prompt: [] for prompt in prompts}
    for answer in answers:
        answers_of[answer.prompt_id].append(answer)
    return answers_of


def with_score(answer: ScoredAnswer, score: float, contrast: float = math.nan) -> ScoredAnswer:
    """Return the answer as its labeller scores it."""
    return replace(answer, score=score, contrast=contrast)


def score_each(
    labelling: Labelling, score: Callable[[TaskPrompt, ScoredAnswer], float]
) -> dict[str, list[ScoredAnswer]]:
    """Return the answers by prompt, each scored by itself."""
    return {
        prompt.id: [
            with_score(answer, score(prompt, answer)) for answer in labelling.answers[prompt.id]
        ]
        for prompt in labelling.prompts
    }
