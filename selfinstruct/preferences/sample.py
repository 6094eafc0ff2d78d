"""A policy's own answers to the tasks of a run, several to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from selfinstruct.common import ids, records
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.records import NAN, Completion, Form, Message, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.dataset.export import export_rows
from selfinstruct.engines.base import Engine, ask_all, scoring_request
from selfinstruct.engines.conversation import conversation_prompt, prompt_tokens
from selfinstruct.inputs.shots import worked_shots
from selfinstruct.preferences.folder import ANSWERS, commit_rows, read_scored
from selfinstruct.preferences.pairs import ScoredAnswer, with_score
from selfinstruct.prompts.canonical import STOP, user_text
from selfinstruct.store import Run

# Prompts of one commit: what a crash can cost at most.
BATCH = 64
_LEAST_CONTEXT = 512

# What a good answer is (Askell et al. 2021, arXiv:2112.00861); shown to the policy before
# it is asked how probable it finds an answer.
PRINCIPLES = (
    "A careful assistant answers. Each answer is helpful: it does all that the task asks and "
    "nothing else. It is honest: what it says is right, and nothing is made up. It is harmless: "
    "it helps nobody to hurt somebody."
)
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task as a user writes it; `reference` is its accepted output.

    `group` is its instruction: prompts of one group are never split.
    """

    id: str
    group: str
    user: str
    reference: str


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How answers are drawn: `k` to each prompt. `scored` has the policy score them too."""

    k: int
    temperature: float
    max_tokens: int
    seed: int
    scored: bool


def prompts_of(run: Run) -> list[Prompt]:
    """Return the accepted tasks of a run, in the order in which they were written."""
    return [
        Prompt(row.id, row.instruction_id, user_text(row.instruction, row.input), row.output)
        for row in export_rows(run)
    ]


def sample_answers(
    engine: Engine,
    *,
    prompts: Sequence[Prompt],
    how: SampleSettings,
    out: Path,
    advance: Callable[[int, int], object],
    batch_size: int = BATCH,
) -> None:
    """Have every prompt answered that has no answers yet; committed batch by batch.

    With `how.scored`, an answer's score is its mean log-likelihood in nats per token where the
    same policy is shown better instructions first: the principles and three good examples (as
    in RLCD, Yang et al. 2023, arXiv:2307.12950, and context distillation). Its contrast is by
    how much they raise it above what it was as the policy wrote it.

    Raises:
        EngineError: the engine failed; committed batches stay.
        WriteError: the disk refuses; committed batches stay.
    """
    known = {answer.prompt_id for answer in read_scored(out)}
    owed = [prompt for prompt in prompts if prompt.id not in known]
    if not owed:
        return
    asked = {prompt.id: _asked(engine, prompt) for prompt in owed}
    better = {prompt.id: _better(engine, prompt) for prompt in owed if how.scored}
    longest = max(prompt_tokens(engine, one) for one in (*asked.values(), *better.values()))
    engine.start(min(engine.context_length, max(_LEAST_CONTEXT, longest + how.max_tokens + 1)))
    sampling = SamplingConfig(temperature=how.temperature, max_tokens=how.max_tokens, stop=STOP)
    steps = how.k * (2 if how.scored else 1)
    for start in range(0, len(owed), batch_size):
        part = owed[start : start + batch_size]

        def told(done: int, _wanted: int, before: int = start * steps) -> None:
            advance(before + done, len(owed) * steps)

        requests = [
            Request(
                id=ids.sampled(prompt.id, number),
                about=prompt.id,
                stage=Stage.ANSWER,
                reading=Reading(Form.WHOLE),
                prompt=asked[prompt.id],
                sampling=sampling,
                seed=derive_seed(how.seed, prompt.id, number),
            )
            for prompt in part
            for number in range(how.k)
        ]
        written = ask_all(engine, requests, told)
        rows = [_row(completion, completion.request.about) for completion in written]
        if how.scored:
            scoring = [
                scoring_request(one.id, better[one.request.about], one.token_ids, sampling)
                for one in written
                if one.token_ids and one.error is None
            ]
            told_later = partial(told, before=start * steps + len(requests))
            scores = {one.id: one for one in ask_all(engine, scoring, told_later)}
            rows = [
                _scored(row, one, scores.get(ids.score(one.id)))
                for row, one in zip(rows, written, strict=True)
            ]
        commit_rows(out, ANSWERS, rows)


def _row(completion: Completion, prompt_id: str) -> ScoredAnswer:
    return ScoredAnswer(
        id=completion.id,
        prompt_id=prompt_id,
        text=completion.text.strip(),
        num_tokens=len(completion.token_ids),
        finished=completion.finish_reason == "stop",
    )


def _scored(row: ScoredAnswer, written: Completion, scored: Completion | None) -> ScoredAnswer:
    if scored is None:
        return row
    score = _mean(scored.token_logprobs)
    return with_score(row, score, score - _mean(written.token_logprobs))


def _mean(logprobs: Sequence[float] | None) -> float:
    return sum(logprobs) / len(logprobs) if logprobs else NAN


def _asked(engine: Engine, prompt: Prompt) -> records.Prompt:
    return conversation_prompt(engine, [Message(role="user", content=prompt.user)])


def _better(engine: Engine, prompt: Prompt) -> records.Prompt:
    """Return the prompt after the principles and the examples."""
    messages: list[Message] = []
    shown = [shot for shot in worked_shots() if shot.user != prompt.user][:_EXAMPLES]
    for number, shot in enumerate(shown):
        user = f"{PRINCIPLES}\n\n{shot.user}" if number == 0 else shot.user
        messages.append(Message(role="user", content=user))
        messages.append(Message(role="assistant", content=shot.answer))
    return conversation_prompt(engine, [*messages, Message(role="user", content=prompt.user)])
