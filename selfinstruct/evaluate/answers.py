"""Have a model answer tasks, and score the references and plain text under it.

The same for every model: the encoding (its own chat template, else the canonical text), the
stop strings and the token limit. So what differs is the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
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

    `stopped` says that it ended by itself and not at the token limit. `reference_logprob` is
    the mean log-likelihood of the reference in nats per token, NaN where it does not fit.
    """

    task_id: str
    text: str
    num_tokens: int
    stopped: bool
    reference_logprob: float
    error: str | None = None


@dataclass(frozen=True)
class Questions:
    """What a model is asked.

    `shots` are worked tasks that are shown before each task. `samples` of 1 is greedy; more are
    drawn at `temperature`, each with a seed of its own. `passages` are plain text to score.
    """

    tasks: Sequence[EvalTask]
    max_tokens: int
    shots: Sequence[Shot] = ()
    samples: int = 1
    temperature: float = 0.0
    passages: Sequence[str] = ()


@dataclass(frozen=True)
class Answered:
    """What came back: `samples` answers of each task in the order of the tasks, and passages."""

    answers: list[Answer]
    passages: list[PassageScore]


def answer_questions(
    engine: Engine, asked: Questions, *, advance: Callable[[int, int], object] = max
) -> Answered:
    """Answer every task; starts the engine and leaves it running.

    Args:
        engine: not started yet.
        asked: the tasks, and how.
        advance: told how many requests have come back, of how many.

    Raises:
        ConfigError: the model's context is shorter than 512 tokens.
        EngineError: the engine failed.
    """
    prompts = {task.id: _prompt(engine, task, asked.shots) for task in asked.tasks}
    longest = max(
        prompt_tokens(engine, prompts[t.id])
        + max(asked.max_tokens, len(engine.encode(t.reference)) + 1)
        for t in asked.tasks
    )
    longest = max(longest, *(len(engine.encode(one)) + 16 for one in asked.passages), 0)
    if engine.context_length < _LEAST_CONTEXT:
        raise ConfigError(
            f"the model's context of {engine.context_length} tokens is too short to evaluate it"
        )
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
    engine.start(min(engine.context_length, max(_LEAST_CONTEXT, longest + 1)))
    done = {one.id: one for one in ask_all(engine, requests, advance)}
    written = (one for one in done.values() if one.request.stage is Stage.ANSWER)
    failed = [one.error for one in written if one.error and one.request.about in prompts]
    if failed:
        log.warning("%d answers could not be had and are left out: %s", len(failed), failed[0])
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
    return Answered(answers, passage_scores(scored, done))


def _prompt(engine: Engine, task: EvalTask, shots: Sequence[Shot]) -> Prompt:
    messages: list[Message] = []
    for shot in shots:
        messages.append(Message(role="user", content=shot.user))
        messages.append(Message(role="assistant", content=shot.answer))
    messages.append(Message(role="user", content=user_text(task.instruction, task.input)))
    return conversation_prompt(engine, messages)


def _answer(task: EvalTask, written: Completion, scored: Completion | None) -> Answer:
    logprobs = scored.token_logprobs if scored is not None else None
    return Answer(
        task_id=task.id,
        text=written.text.strip(),
        num_tokens=len(written.token_ids),
        stopped=written.finish_reason == "stop",
        reference_logprob=sum(logprobs) / len(logprobs) if logprobs else NAN,
        error=written.error,
    )
