"""Have a model answer tasks, greedily, and score the references under it.

The same for every model: the encoding (its own chat template, else the canonical text), the
stop strings and the token limit. So what differs is the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfinstruct.config import SamplingConfig
from selfinstruct.engines.base import Engine, complete_all
from selfinstruct.errors import ConfigError
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.prompts.canonical import STOP, canonical_text, user_text
from selfinstruct.records import NAN, Completion, Message, Request, Stage

log = logging.getLogger(__name__)

_LEAST_CONTEXT = 512


@dataclass(frozen=True, slots=True)
class Shot:
    """A worked task that is shown before each task: few-shot prompting."""

    user: str
    answer: str


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


def answer_tasks(
    engine: Engine,
    tasks: Sequence[EvalTask],
    *,
    max_tokens: int,
    shots: Sequence[Shot] = (),
    sampling: SamplingConfig | None = None,
    advance: Callable[[int, int], object] = max,
) -> list[Answer]:
    """Answer every task; starts the engine and leaves it running.

    Args:
        engine: not started yet.
        tasks: what to answer.
        max_tokens: longest answer.
        shots: worked tasks to show first.
        sampling: other than greedy decoding.
        advance: told how many requests have come back, of how many.

    Raises:
        ConfigError: the model's context is shorter than 512 tokens.
        EngineError: the engine failed.
    """
    prompts = {task.id: _prompt(engine, task, shots) for task in tasks}
    longest = max(
        len(engine.encode(prompts[t.id])) + max(max_tokens, len(engine.encode(t.reference)) + 1)
        for t in tasks
    )
    if engine.context_length < _LEAST_CONTEXT:
        raise ConfigError(
            f"the model's context of {engine.context_length} tokens is too short to evaluate it"
        )
    how = sampling or SamplingConfig()
    how = how.model_copy(update={"max_tokens": max_tokens, "stop": (*how.stop, *STOP)})
    requests = []
    for number, task in enumerate(tasks):
        prompt = prompts[task.id]
        name = f"eval-{number}"
        requests.append(Request(f"{name}-answer", Stage.ANSWER, "", prompt, how, seed=number))
        if engine.capabilities.score:
            ids = tuple(engine.encode(task.reference))
            requests.append(
                Request(f"{name}-score", Stage.SCORE, "", prompt, how, seed=0, scored=ids)
            )
    engine.start(min(engine.context_length, max(_LEAST_CONTEXT, longest + 1)))
    done = {one.id: one for one in complete_all(engine, requests, advance)}
    failed = [one.error for one in done.values() if one.error and one.request.scored is None]
    if failed:
        log.warning("%d tasks could not be asked and count as empty: %s", len(failed), failed[0])
    return [
        _answer(task, done[f"eval-{number}-answer"], done.get(f"eval-{number}-score"))
        for number, task in enumerate(tasks)
    ]


def _prompt(engine: Engine, task: EvalTask, shots: Sequence[Shot]) -> str:
    messages: list[Message] = []
    for shot in shots:
        messages.append(Message(role="user", content=shot.user))
        messages.append(Message(role="assistant", content=shot.answer))
    messages.append(Message(role="user", content=user_text(task.instruction, task.input)))
    if engine.has_chat_template:
        return engine.chat_prompt(messages, thinking=False)
    return engine.raw_prompt(canonical_text(messages))


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
