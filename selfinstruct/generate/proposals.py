"""The proposals of a run, in its style: which tasks a prompt shows, and what is to be written.

Every draw comes from a generator of (run seed, round, purpose), and generated tasks are those of
rounds up to r − 2. So the proposals of a round are the same whatever else happens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.records import Form, InstructionCandidate, Request, SeedTask, Stage
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.styles import PARAPHRASE, STYLES, Style
from selfinstruct.filters.length import count_words
from selfinstruct.generate.passages import DrawnPassage, PassageDraw
from selfinstruct.generate.templates import Question, Templates
from selfinstruct.inputs.run_inputs import Inputs

# A seed with more words than this is shown with its input only if too few are shorter.
_MOST_WORDS = 90


@dataclass(frozen=True, slots=True)
class PoolTask:
    """A task that a proposal may show.

    `instruction` ends with the `constraints`, if there are any. `operation`: how it was rewritten.
    """

    id: str
    instruction: str
    input: str = ""
    constraints: str = ""
    operation: str = ""

    @classmethod
    def of(cls, task: InstructionCandidate) -> PoolTask:
        """Return an accepted task."""
        constraints, operation = task.constraints or "", task.operation or ""
        return cls(task.id, task.text, task.input or "", constraints, operation)

    @classmethod
    def of_seed(cls, seed: SeedTask) -> PoolTask:
        """Return a seed, with the input of its first instance."""
        first = seed.instances[0].input if seed.instances else ""
        return cls(seed.pool_id, seed.instruction, first)

    @property
    def shown(self) -> dict[str, str]:
        """Its fields, apart."""
        instruction = self.instruction
        if self.constraints:
            instruction = instruction.removesuffix(self.constraints).rstrip()
        fields = {"input": self.input, "constraints": self.constraints}
        return {"instruction": " ".join(instruction.split()), **fields}


class Proposals:
    """Writes the proposals of a run.

    Args:
        config: style, sizes and sampling.
        inputs: seeds, topics and templates.
        filled: fills in templates.
        passages: of documents, if the run has any.
    """

    def __init__(
        self, config: RunConfig, inputs: Inputs, filled: Templates, passages: PassageDraw
    ) -> None:
        self._config, self._propose = config, config.propose
        self._topics = inputs.topics
        self._words = inputs.prompts.style
        self._filled = filled
        self._passages = passages
        self._seeds = [PoolTask.of_seed(seed) for seed in inputs.seeds]
        short = [task for task in self._seeds if _words_of(task) <= _MOST_WORDS]
        self._compact = short if len(short) >= self._propose.in_context else self._seeds

    @property
    def style(self) -> Style:
        """The style of the run."""
        return STYLES[self._propose.style]

    def of_round(
        self, round: int, generated: Sequence[PoolTask], count: int | None = None
    ) -> list[Request]:
        """Return the proposals of a round.

        Args:
            round: its number.
            generated: the generated tasks that may be shown.
            count: of the proposals; None: as many as a full round has. The first ones are the
                same for every count. Paraphrases come on top.
        """
        rng = random.Random(derive_seed(self._config.seed, round, "propose"))
        topics = random.Random(derive_seed(self._config.seed, round, "topics"))
        draw = _DRAWS[self.style.name]
        requests = []
        for number in range(self._propose.most if count is None else count):
            about = ids.proposal(round, number)
            if self._passages:
                requests.append(self.about_passage(about, self._passages.of(round, number)))
                continue
            # Tasks are drawn before the topic, from a generator of their own.
            ask = draw(self, generated, rng)
            requests.append(ask(about, topics.choice(self._topics) if self._topics else ""))
        return [*requests, *self._paraphrases(round, generated)]

    def about_passage(self, about: str, drawn: DrawnPassage) -> Request:
        """Ask for tasks about a passage, after worked ones."""
        most = self._config.passages.tasks
        question = replace(
            self._question(Form.LIST, "propose_passage"),
            stop=(f"\n{most + 1}.",),
            source=drawn.passage.id,
        )
        return self._filled.request(
            about,
            question,
            examples=[
                {**exemplar, "tasks": exemplar["tasks"][:most]} for exemplar in drawn.exemplars
            ],
            passage=drawn.passage.text,
            count=most,
        )

    def listing(self, about: str, tasks: Sequence[PoolTask], topic: str) -> Request:
        """Ask for the tasks that follow these in a list."""
        question = replace(
            self._question(Form.LIST, "propose"),
            parents=tuple(task.id for task in tasks),
            stop=(f"\n{self._propose.list_length + 1}.",),
        )
        return self._filled.request(
            about,
            question,
            tasks=[" ".join(task.instruction.split()) for task in tasks],
            list_length=self._propose.list_length,
            **self._steering(topic),
        )

    def fields(
        self, about: str, tasks: Sequence[PoolTask | Mapping[str, str]], topic: str
    ) -> Request:
        """Ask for a task with input and constraints; worked ones among those shown have no id."""
        parents = tuple(task.id for task in tasks if isinstance(task, PoolTask))
        question = replace(self._question(Form.FIELDS, "unnatural"), parents=parents)
        shown = [task.shown if isinstance(task, PoolTask) else dict(task) for task in tasks]
        return self._filled.request(about, question, tasks=shown, **self._steering(topic))

    def rewriting(
        self, about: str, parent: PoolTask, operations: Sequence[str], topic: str
    ) -> Request:
        """Ask for a task to be rewritten.

        Args:
            about: id of the proposal.
            parent: the task.
            operations: whose examples are shown; the last one is what is asked for.
            topic: of the new task.
        """
        question = replace(
            self._question(Form.TASK, "evolve"),
            parents=(parent.id,),
            operation=operations[-1],
            tag="New task:",
        )
        words = [self._words.operations[name] for name in operations]
        return self._filled.request(
            about,
            question,
            examples=[one.model_dump() for one in words],
            change=words[-1].change,
            task=" ".join(parent.instruction.split()),
            **self._steering(topic),
        )

    def message(self, about: str, topic: str) -> Request:
        """Ask a chat model for a user's message."""
        question = self._question(Form.MESSAGE, "magpie")
        return self._filled.as_user(about, question, **self._steering(topic))

    def paraphrase(self, about: str, task: PoolTask) -> Request:
        """Ask for a task in other words; its input stays."""
        question = replace(
            self._question(Form.TASK, "paraphrase"),
            parents=(task.id,),
            operation=PARAPHRASE,
            tag="Other wording:",
            given=task.input,
        )
        pairs = [pair.model_dump() for pair in self._words.pairs]
        written = " ".join(task.instruction.split())
        return self._filled.request(about, question, pairs=pairs, task=written)

    def after(self, tasks: Sequence[PoolTask], topic: str = "") -> Request:
        """Return a proposal that shows these tasks, as far as the style shows any: no draws."""
        if self.style.name == "unnatural":
            return self.fields("", [self._words.exemplars[0].model_dump(), *tasks], topic)
        if self.style.name == "evolve":
            return self.rewriting("", tasks[0], self._operations[-2:], topic)
        if self.style.name == "magpie":
            return self.message("", topic)
        return self.listing("", tasks, topic)

    @property
    def spare_tokens(self) -> int:
        """Room that a prompt needs for generated tasks shown with their inputs, in tokens."""
        shows_inputs = self.style.name == "unnatural"
        most = self._propose.in_context * self._propose.sampling.max_tokens
        return most if shows_inputs else 0

    def longest(self) -> list[Request]:
        """Return the longest proposals that seeds make: the context must have room for them."""
        with_input = self.style.name == "unnatural"
        pool = self._compact if with_input else self._seeds
        longest = sorted(pool, key=lambda t: -len(t.instruction + (t.input if with_input else "")))
        shown = longest[: self._propose.in_context]
        requests = [self.after(shown, max(self._topics, key=len, default=""))]
        if self._propose.paraphrases:
            requests.append(self.paraphrase("", longest[0]))
        if self._passages:
            requests.append(self.about_passage("", self._passages.longest))
        return requests

    def _draw_listing(self, generated: Sequence[PoolTask], rng: random.Random) -> _Ask:
        tasks = self._draw(self._seeds, generated, rng, self._propose.in_context)
        return lambda about, topic: self.listing(about, tasks, topic)

    def _draw_fields(self, generated: Sequence[PoolTask], rng: random.Random) -> _Ask:
        """Draw tasks of the pool, and one worked example, whose constraints show what is meant."""
        tasks: list[PoolTask | Mapping[str, str]] = []
        tasks += self._draw(self._compact, generated, rng, max(1, self._propose.in_context - 1))
        worked = rng.choice(self._words.exemplars).model_dump()
        tasks.insert(rng.randrange(len(tasks) + 1), worked)
        return lambda about, topic: self.fields(about, tasks, topic)

    def _draw_rewriting(self, generated: Sequence[PoolTask], rng: random.Random) -> _Ask:
        """Draw a task of the pool, every one equally likely, and an operation."""
        place = rng.randrange(len(self._seeds) + len(generated))
        own = len(self._seeds)
        parent = self._seeds[place] if place < own else generated[place - own]
        operations = rng.sample(self._operations, min(2, len(self._operations)))
        return lambda about, topic: self.rewriting(about, parent, operations, topic)

    def _draw_message(self, generated: Sequence[PoolTask], rng: random.Random) -> _Ask:  # noqa: ARG002
        return self.message

    def _draw(
        self,
        seeds: Sequence[PoolTask],
        generated: Sequence[PoolTask],
        rng: random.Random,
        shown: int,
    ) -> list[PoolTask]:
        """Draw the tasks that a prompt shows (the paper: 6 seeds, 2 generated)."""
        from_generated = min(shown - min(shown, self._propose.from_seeds), len(generated))
        from_seeds = min(shown - from_generated, len(seeds))
        from_generated = min(shown - from_seeds, len(generated))
        tasks = rng.sample(seeds, from_seeds) + rng.sample(generated, from_generated)
        rng.shuffle(tasks)
        return tasks

    def _paraphrases(self, round: int, generated: Sequence[PoolTask]) -> Iterator[Request]:
        """Ask for the tasks of the round before the last in other words, each once.

        Their numbers follow those of a full round, whatever size the round has.
        """
        number = self._propose.most
        for task in _of_round(round - 2, generated) if self._propose.paraphrases else ():
            for _ in range(self._propose.paraphrases):
                yield self.paraphrase(ids.proposal(round, number), task)
                number += 1

    @property
    def _operations(self) -> list[str]:
        return list(self._words.operations)

    def _steering(self, topic: str) -> dict[str, Any]:
        return {"domain": self._propose.domain or "", "topic": topic}

    def _question(self, form: Form, template: str) -> Question:
        return Question(Stage.PROPOSE, form, template, self._propose.sampling)


_Ask = Callable[[str, str], Request]
"""Writes a proposal, from its id and its topic."""

# By the name of a style: draws what a proposal shows.
_DRAWS: Mapping[str, Callable[[Proposals, Sequence[PoolTask], random.Random], _Ask]] = {
    "self-instruct": Proposals._draw_listing,
    "unnatural": Proposals._draw_fields,
    "evolve": Proposals._draw_rewriting,
    "magpie": Proposals._draw_message,
}


def _of_round(round: int, generated: Sequence[PoolTask]) -> list[PoolTask]:
    """Return the tasks of a round, in order, without those that are paraphrases themselves."""
    own: list[PoolTask] = []
    for task in reversed(generated):
        if ids.order(task.id)[0] != round:
            break
        own.append(task)
    return [task for task in reversed(own) if task.operation != PARAPHRASE]


def _words_of(task: PoolTask) -> int:
    return count_words(task.instruction) + count_words(task.input)
