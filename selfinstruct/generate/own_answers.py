"""A model's own answers to closed tasks: by votes, by rationales, or by both.

verdicts/own_answers.py says how they are judged; this file asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import (
    Completion,
    Conversation,
    Form,
    Prompt,
    Reading,
    Request,
    Stage,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.final_answers import is_closed
from selfinstruct.generate.answer import write_answers
from selfinstruct.generate.answer_way import Answered, Asking, OpenAnswer, Owed, Setup
from selfinstruct.generate.teacher import refuse_other_keys, teacher_config
from selfinstruct.prompts.chat_template import with_system
from selfinstruct.prompts.solving import (
    BASE_TEMPLATE,
    CHAT_TEMPLATE,
    Problem,
    SolvingPrompts,
    load_solving_prompts,
)
from selfinstruct.store import Run
from selfinstruct.verdicts.own_answers import (
    KEY,
    Method,
    needs_hint,
    verdicts_on_attempts,
)
from selfinstruct.verdicts.rulebook import Rulebook

# Huang et al. 2022 and Wang et al. 2022 sample at 0.7; greedy votes would all be the same.
VOTES_TEMPERATURE = 0.7
PROMPTS = "prompts"
"""The key in answers.json under which a commit keeps templates and words."""


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """Settings of `answer --votes` and `answer --rationale`.

    Attributes:
        votes: completions to sample of each task; None: one, without a vote.
        rationale: ask for a rationale before the final answer.
        keep_if_match: keep a rationale only if it reaches the known answer, and ask again with
            that answer as a hint if it does not.
        min_agreement: least share of the votes, in [0, 1].
        all_tasks: also ask about open tasks.
    """

    votes: int | None = None
    rationale: bool = False
    keep_if_match: bool = False
    min_agreement: float | None = None
    all_tasks: bool = False

    @property
    def is_own(self) -> bool:
        """Whether answers are asked for in one of these ways."""
        return self.votes is not None or self.rationale


def check_own(settings: OwnSettings) -> None:
    """Refuse options that contradict each other.

    Raises:
        ConfigError: names them.
    """
    if settings.votes is not None and settings.votes < 2:
        raise ConfigError(f"--votes {settings.votes}: give 2 or more; one answer has no majority")
    if settings.keep_if_match and not settings.rationale:
        raise ConfigError("--keep-if-match: compares what a rationale reaches; add --rationale")
    if settings.keep_if_match and settings.votes is not None:
        raise ConfigError(
            "--keep-if-match --votes: the known answer or the majority decides; leave one out"
        )
    if settings.min_agreement is not None and settings.votes is None:
        raise ConfigError("--min-agreement: is a share of votes; add --votes K")
    if settings.min_agreement is not None and not 0 <= settings.min_agreement <= 1:
        raise ConfigError(
            f"--min-agreement {settings.min_agreement}: a share of votes lies between 0 and 1"
        )
    if settings.all_tasks and not settings.is_own:
        raise ConfigError("--all-tasks: add --votes K or --rationale; a teacher answers all tasks")


def answer_own(
    run: Run, values: Mapping[str, Any], settings: OwnSettings, asking: Asking
) -> Answered:
    """Answer the closed tasks of a run by votes or rationales, and commit what passes and fails.

    Args:
        run: the run; gets new folders under `answers`.
        values: `model`, `engine` and `instances.sampling` values of the model, nested.
        settings: of the way.
        asking: how the model is asked.

    Raises:
        ConfigError: bad values, or a context too short for every answer.
        StoreError: the run is damaged.
        WriteError: the disk refuses; committed batches stay.
        EngineError: the engine failed; committed batches stay, the rest is owed.
    """
    check_own(settings)
    refuse_other_keys(values)
    config = _sampling_config(teacher_config(run, values), values, settings)
    prompts = load_solving_prompts(config.language)
    method = Method(
        votes=settings.votes or 1,
        rationale=settings.rationale,
        keep_if_match=settings.keep_if_match,
        min_agreement=settings.min_agreement or 0.0,
        marker=prompts.marker,
    )
    make_way = partial(_Solving, method, prompts, settings.all_tasks)
    return write_answers(run, config, asking, make_way)


def _sampling_config(
    config: RunConfig, values: Mapping[str, Any], settings: OwnSettings
) -> RunConfig:
    """Return the config with a temperature at which votes can differ.

    Raises:
        ConfigError: the user asks for greedy votes.
    """
    sampling = config.instances.sampling
    if settings.votes is None or sampling.temperature > 0:
        return config
    if "temperature" in values.get("instances", {}).get("sampling", {}):
        raise ConfigError(
            "--votes: all votes of a greedy model are the same; "
            "give --set instances.sampling.temperature=0.7"
        )
    sampling = sampling.model_copy(update={"temperature": VOTES_TEMPERATURE})
    instances = config.instances.model_copy(update={"sampling": sampling})
    return config.model_copy(update={"instances": instances})


class _Solving:
    """Ask for final answers, as often as there are votes."""

    def __init__(
        self, method: Method, prompts: SolvingPrompts, all_tasks: bool, setup: Setup
    ) -> None:
        self.settings: Mapping[str, Any] = {KEY: method.stored(), PROMPTS: dict(prompts.files)}
        self.completions = method.votes
        self._method = method
        self._prompts = prompts
        self._all_tasks = all_tasks
        self._setup = setup

    def is_same(self, info: Mapping[str, Any]) -> bool:
        return self._method.asks_as(info.get(KEY)) and info.get(PROMPTS) == self.settings[PROMPTS]

    def takes(self, owed: Owed) -> bool:
        kind = bool(owed.task.is_classification)
        return self._all_tasks or is_closed(owed.instance.output, is_classification=kind)

    def requests(self, owed: Owed) -> list[Request]:
        hint = [self._hinted(owed, 0)] if self._method.keep_if_match else []
        return [*self._first(owed, 0)[:1], *hint]

    def open(self, owed: Owed, number: int) -> OpenAnswer:
        return _OpenTask(owed, self._first(owed, number), self._hinted(owed, number), self._method)

    def rows(self, answer: OpenAnswer, rulebook: Rulebook) -> Sequence[AnswerCandidate]:
        owed = answer.owed
        return verdicts_on_attempts(
            owed.task.text, owed.instance, answer.completions, self._method, rulebook
        )

    def _first(self, owed: Owed, batch: int) -> list[Request]:
        """Return the votes of a task, or its one request."""
        id = ids.answer(owed.instance.id, batch)
        if self._method.votes == 1:
            return [self._request(owed, id)]
        return [self._request(owed, ids.vote(id, number)) for number in range(self._method.votes)]

    def _hinted(self, owed: Owed, batch: int) -> Request:
        about = ids.hinted(ids.answer(owed.instance.id, batch))
        return self._request(owed, about, hint=owed.instance.output)

    def _request(self, owed: Owed, about: str, hint: str = "") -> Request:
        problem = Problem(owed.task.text, owed.instance.input, self._method.rationale, hint)
        config, raw = self._setup.config, self._setup.mode == "base"
        sampling = config.instances.sampling
        stop = (*(self._prompts.stop if raw else ()), *sampling.stop)
        id = ids.request(about, Stage.ANSWER)
        return Request(
            id=id,
            about=about,
            stage=Stage.ANSWER,
            reading=Reading(Form.WHOLE),
            prompt=self._prompt(problem, raw=raw),
            sampling=sampling.model_copy(update={"stop": stop}),
            seed=derive_seed(config.seed, id),
            template=BASE_TEMPLATE if raw else CHAT_TEMPLATE,
        )

    def _prompt(self, problem: Problem, *, raw: bool) -> Prompt:
        if raw:
            return self._prompts.text(problem)
        model = self._setup.config.model
        messages = self._prompts.messages(problem)
        messages = with_system(messages, model.system) if model.system else messages
        return Conversation(tuple(messages), thinking=model.thinking)


class _OpenTask:
    """A task whose votes, or whose attempts, are asked for."""

    def __init__(
        self, owed: Owed, first: Sequence[Request], hinted: Request, method: Method
    ) -> None:
        self.owed = owed
        self._order = [request.id for request in (*first, hinted)]
        self._first = list(first)
        self._hinted = hinted
        self._method = method
        self._back: dict[str, Completion] = {}

    @property
    def completions(self) -> list[Completion]:
        """Those that are back, in the order in which they were asked for."""
        return [self._back[id] for id in self._order if id in self._back]

    def start(self) -> list[Request]:
        return self._first

    def take(self, completion: Completion) -> list[Request]:
        self._back[completion.id] = completion
        is_first = completion.id != self._hinted.id
        if is_first and needs_hint(completion, self.owed.instance.output, self._method):
            return [self._hinted]
        return []
