"""Let a model answer tasks, and score the references and plain text under it.

Stop strings and token limit are the same for every model. Each gets its own chat template, or the
canonical text if it has none. So only the model differs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import (
    NAN,
    Completion,
    Form,
    Message,
    Prompt,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.engines.base import Engine, ask_all, scoring_request
from selfinstruct.engines.conversation import conversation_prompt, prompt_tokens
from selfinstruct.evaluate.plain_text import PassageScore, passage_requests, passage_scores
from selfinstruct.evaluate.rankings import (
    Before,
    Ranked,
    RankedScore,
    others,
    ranking_requests,
    ranking_score,
)
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.inputs.shots import Shot
from selfinstruct.prompts.canonical import STOP, user_text

log = logging.getLogger(__name__)

_LEAST_CONTEXT = 512


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote for a task.

    `stopped`: it ended by itself and not at the token limit. `reference_logprob`: mean
    log-likelihood of the reference in nats per token, NaN if it does not fit.
    """

    task_id: str
    text: str
    num_tokens: int
    stopped: bool
    reference_logprob: float
    error: str | None = None


@dataclass(frozen=True)
class Questions:
    """The questions to a model.

    `shots` are worked tasks shown before each task. One sample is greedy; several `samples` are
    drawn at `temperature`, each with its own seed. `passages` are plain text
    to score. `system` is a system prompt; empty for none. `choices` and `pairs` are texts to rank;
    as many `choices` with their right answers are shown before each one as there are `shots`.
    `pass_at` are the k of pass@k, which answers do not depend on.
    """

    tasks: Sequence[EvalTask]
    max_tokens: int
    shots: Sequence[Shot] = ()
    samples: int = 1
    temperature: float = 0.0
    passages: Sequence[str] = ()
    system: str = ""
    choices: Sequence[Ranked] = ()
    pairs: Sequence[Ranked] = ()
    pass_at: Sequence[int] = ()

    @property
    def anything(self) -> bool:
        """Whether there is anything to ask."""
        return any((self.tasks, self.passages, self.choices, self.pairs))


@dataclass(frozen=True)
class ModelAnswers:
    """A model's answers, scored passages and ranked texts.

    `answers` are in the order of the tasks, `samples` per task.
    """

    answers: list[Answer]
    passages: list[PassageScore]
    choices: list[RankedScore] = field(default_factory=list)
    pairs: list[RankedScore] = field(default_factory=list)


def answer_questions(
    engine: Engine, asked: Questions, *, advance: Callable[[int, int], object] = max
) -> ModelAnswers:
    """Answer every task; this starts the engine and leaves it running.

    Args:
        engine: not started yet.
        asked: the tasks, and how.
        advance: told how many requests have come back, of how many.

    Raises:
        ConfigError: the model's context is shorter than 512 tokens, or texts are to be ranked and
            the engine cannot score them.
        EngineError: the engine failed.
    """
    prompts = {task.id: _prompt(engine, task, asked) for task in asked.tasks}
    if engine.context_length < _LEAST_CONTEXT:
        raise ConfigError(
            f"the model's context of {engine.context_length} tokens is too short to evaluate it"
        )
    if (asked.choices or asked.pairs) and not engine.capabilities.score:
        raise ConfigError(
            "--choices and --pairs need the log-likelihood of given texts, and the server does not "
            "return it; give a local model, or a vLLM server"
        )
    ranked = _ranking_requests(engine, asked)
    requests = [*_requests(engine, asked, prompts), *ranked]
    longest = max(_longest(engine, asked, prompts), *(_tokens(engine, one) for one in ranked), 0)
    engine.start(min(engine.context_length, max(_LEAST_CONTEXT, longest + 1)))
    completions = ask_all(engine, requests, advance)
    done = {completion.id: completion for completion in completions}
    errors = [
        completion.error
        for completion in completions
        if completion.request.stage is Stage.ANSWER
        and completion.request.about in prompts
        and completion.error
    ]
    if errors:
        log.warning("%d answers could not be had and are left out: %s", len(errors), errors[0])
    answers = [
        _answer(
            task,
            done[ids.evaluated_answer(number, sample)],
            done.get(ids.score(ids.evaluated(number))),
        )
        for number, task in enumerate(asked.tasks)
        for sample in range(asked.samples)
    ]
    scores = [
        *(ranking_score(ids.question(n), item, done) for n, item in enumerate(asked.choices)),
        *(ranking_score(ids.pair(n), item, done) for n, item in enumerate(asked.pairs)),
    ]
    unknown = sum(math.isnan(sum(score.logprobs)) for score in scores)
    if unknown:
        log.warning(
            "%d of %d ranked texts could not be scored and are left out (they may be longer than "
            "the model's context)",
            unknown,
            len(scores),
        )
    scored = asked.passages if engine.capabilities.score else ()
    return ModelAnswers(
        answers,
        passage_scores(scored, done),
        scores[: len(asked.choices)],
        scores[len(asked.choices) :],
    )


def _ranking_requests(engine: Engine, asked: Questions) -> list[Request]:
    """Return the requests to score what is ranked.

    Raises:
        ConfigError: there are fewer questions with choices than are to be shown.
    """
    requests = []
    for number, item in enumerate(asked.choices):
        shots = others(asked.choices, item, len(asked.shots))
        before = Before(shots, asked.system)
        requests += ranking_requests(engine, ids.question(number), item, before)
    for number, item in enumerate(asked.pairs):
        before = Before(asked.shots, asked.system)
        requests += ranking_requests(engine, ids.pair(number), item, before)
    return requests


def _tokens(engine: Engine, scored: Request) -> int:
    return prompt_tokens(engine, scored.prompt) + len(scored.scored or ())


def _longest(engine: Engine, asked: Questions, prompts: Mapping[str, Prompt]) -> int:
    """Return the most tokens of a prompt with its answer or reference, or of a passage."""
    tasks = (
        prompt_tokens(engine, prompts[task.id])
        + max(asked.max_tokens, len(engine.encode(task.reference)) + 1)
        for task in asked.tasks
    )
    passages = (len(engine.encode(passage)) + 16 for passage in asked.passages)
    return max((*tasks, *passages, 0))


def _requests(engine: Engine, asked: Questions, prompts: Mapping[str, Prompt]) -> list[Request]:
    """Return the requests for answers, and for scores if the engine can score."""
    how = SamplingConfig(temperature=asked.temperature, max_tokens=asked.max_tokens, stop=STOP)
    requests = []
    for number, task in enumerate(asked.tasks):
        prompt = prompts[task.id]
        for sample in range(asked.samples):
            id = ids.evaluated_answer(number, sample)
            seed = number * asked.samples + sample
            requests.append(
                Request(id, task.id, Stage.ANSWER, Reading(Form.WHOLE), prompt, how, seed)
            )
        if engine.capabilities.score and task.reference:
            tokens = engine.encode(task.reference)
            requests.append(scoring_request(ids.evaluated(number), prompt, tokens, how))
    if engine.capabilities.score:
        requests += passage_requests(engine, asked.passages)
    return requests


def _prompt(engine: Engine, task: EvalTask, asked: Questions) -> Prompt:
    messages: list[Message] = []
    if asked.system:
        messages.append(Message(role="system", content=asked.system))
    for shot in asked.shots:
        messages.append(Message(role="user", content=shot.user))
        messages.append(Message(role="assistant", content=shot.answer))
    messages.append(Message(role="user", content=user_text(task.instruction, task.input)))
    return conversation_prompt(engine, messages)


def _answer(task: EvalTask, written: Completion, scored: Completion | None) -> Answer:
    logprobs = scored.token_logprobs if scored is not None else None
    return Answer(
        task_id=task.id,
        text=written.text.strip(),
        num_tokens=written.num_output_tokens,
        stopped=written.finish_reason == "stop",
        reference_logprob=sum(logprobs) / len(logprobs) if logprobs else NAN,
        error=written.error,
    )
