"""Let a model answer tasks, and score the references and plain text under it.

Stop strings and token limit are the same for every model. Each gets its own chat template, or the
canonical text if it has none. So only the model differs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
    to score. `system` is a system prompt; empty for none.
    """

    tasks: Sequence[EvalTask]
    max_tokens: int
    shots: Sequence[Shot] = ()
    samples: int = 1
    temperature: float = 0.0
    passages: Sequence[str] = ()
    system: str = ""


@dataclass(frozen=True)
class ModelAnswers:
    """A model's answers and scored passages.

    `answers` are in the order of the tasks, `samples` per task.
    """

    answers: list[Answer]
    passages: list[PassageScore]


def answer_questions(
    engine: Engine, asked: Questions, *, advance: Callable[[int, int], object] = max
) -> ModelAnswers:
    """Answer every task; this starts the engine and leaves it running.

    Args:
        engine: not started yet.
        asked: the tasks, and how.
        advance: told how many requests have come back, of how many.

    Raises:
        ConfigError: the model's context is shorter than 512 tokens.
        EngineError: the engine failed.
    """
    prompts = {task.id: _prompt(engine, task, asked) for task in asked.tasks}
    if engine.context_length < _LEAST_CONTEXT:
        raise ConfigError(
            f"the model's context of {engine.context_length} tokens is too short to evaluate it"
        )
    requests = _requests(engine, asked, prompts)
    longest = _longest(engine, asked, prompts)
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
    scored = asked.passages if engine.capabilities.score else ()
    return ModelAnswers(answers, passage_scores(scored, done))


def _longest(engine: Engine, asked: Questions, prompts: Mapping[str, Prompt]) -> int:
    """Return the most tokens of a prompt with its answer or reference, or of a passage."""
    tasks = (
        prompt_tokens(engine, prompts[task.id])
        + max(asked.max_tokens, len(engine.encode(task.reference)) + 1)
        for task in asked.tasks
    )
    passages = (len(engine.encode(passage)) + 16 for passage in asked.passages)
    return max((*tasks, *passages))


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
        if engine.capabilities.score:
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
