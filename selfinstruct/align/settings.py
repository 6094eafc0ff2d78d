"""The settings of a chain, and where a stage of it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

# What scores answers independently of the reward, unless told otherwise: ROUGE-L with the
# accepted answer, which every task of a run has.
GOLD = "reference"
# The shipped prompt: of the prompted model, and of distillation.
PROMPT = "hhh"
# Feedback of a model by principles, as `--feedback` names it.
AI = "ai"


@dataclass(frozen=True)
class AlignSettings:
    """The settings of a chain; `options` has more options of each kind of stage.

    Attributes:
        model: writes the tasks and is trained.
        target: tasks to generate.
        judge: compares answers at the end; None: nobody.
        seed: of every stage.
        seeds: a file of seed tasks; None: the shipped ones.
        options: more options, by kind of stage.
        engine: runs the models; None: each command's default.
        methods: what is trained and compared, by name. None are the chain of before there was a
            choice: DPO, without the prompted model in the comparison.
        iterations: how often the policy is sampled, labelled and trained.
        gold: an independent scorer, as `train rl --gold` names it; None: there is none.
        feedback: AI: the model revises its answers before fine-tuning, and labels by principles
            (Bai et al. 2022); None: neither.
        principles: a file of them; None: the shipped ones.
    """

    model: str
    target: int
    judge: str | None
    seed: int
    seeds: str | None
    options: Mapping[str, Sequence[str]]
    engine: str | None = None
    methods: tuple[str, ...] = ()
    iterations: int = 1
    gold: str | None = GOLD
    feedback: str | None = None
    principles: str | None = None

    @property
    def by_principles(self) -> bool:
        """Whether answers are revised and labelled by principles."""
        return self.feedback == AI

    @property
    def label_judge(self) -> str | None:
        """The model that says which answer is better, if one is asked."""
        named = [
            value
            for option, value in pairwise(self.options.get("prefer", ()))
            if option == "--judge"
        ]
        return named[-1] if named else self.model if self.by_principles else None

    @property
    def chosen(self) -> tuple[str, ...]:
        """The methods, by name."""
        return self.methods or ("dpo",)

    @property
    def repeated(self) -> bool:
        """Whether there are iterations, each in a folder of its own."""
        return self.iterations > 1


@dataclass(frozen=True)
class Contestant:
    """A model of the comparison; `system` is its system prompt, empty for none."""

    name: str
    model: str
    system: str = ""


@dataclass(frozen=True)
class Place:
    """Where a stage works.

    Attributes:
        out: the folder of the chain.
        settings: of the chain.
        policy: the model that answers and is trained.
        iteration: its number, from 1; 0 where there are none.
        contestants: the models to compare; empty until all are known.
    """

    out: Path
    settings: AlignSettings
    policy: str
    iteration: int = 0
    contestants: tuple[Contestant, ...] = ()

    def shared(self, folder: str) -> str:
        """Return a folder that all iterations share."""
        return str(self.out / folder)

    def own(self, folder: str) -> str:
        """Return a folder of this iteration."""
        return self.of(self.iteration, folder)

    def of(self, iteration: int, folder: str) -> str:
        """Return a folder of an iteration."""
        return str(self.out / in_iteration(iteration, folder))

    @property
    def engine(self) -> tuple[str, ...]:
        """The option that names the engine, if one is named."""
        engine = self.settings.engine
        return ("--engine", engine) if engine is not None else ()

    @property
    def principles(self) -> tuple[str, ...]:
        """The option that names the file of principles, if one is named."""
        file = self.settings.principles
        return ("--principles", file) if file is not None else ()

    @property
    def seed(self) -> tuple[str, ...]:
        """The option of the seed: each iteration samples other answers."""
        return ("--seed", str(self.settings.seed + max(0, self.iteration - 1)))


def in_iteration(iteration: int, path: str) -> str:
    """Return the place of a file within the chain; iteration 0 is the chain itself."""
    return f"iteration-{iteration}/{path}" if iteration else path
