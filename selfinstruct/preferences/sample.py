"""A policy's own answers to the tasks of a run, several per task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfinstruct.common import ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import user_path
from selfinstruct.common.records import Completion, Form, Prompt, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.dataset.read import read_any
from selfinstruct.dataset.rows import export_rows
from selfinstruct.decisions.overrides import refuse_damaged
from selfinstruct.engines.base import Engine
from selfinstruct.engines.conversation import conversation_prompt, prompt_tokens
from selfinstruct.engines.stream import batched, stream
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.purposes import PREFER, Purpose
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.labellers.base import Needs, ScoredAnswer, Scorer, TaskPrompt
from selfinstruct.labellers.expected import expected_of
from selfinstruct.labellers.likelihood import instructed_prompts, score_request, scored_by
from selfinstruct.preferences.folder import ANSWERS, commit_rows, read_scored
from selfinstruct.prompts.canonical import STOP, user_text
from selfinstruct.store import Run, open_run, run_exists
from selfinstruct.verdicts.parse.spans import block

# Prompts of one commit.
BATCH = 64
_LEAST_CONTEXT = 512


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How answers are sampled: `k` per prompt. With `scored`, the policy scores them too."""

    k: int
    temperature: float
    max_tokens: int
    seed: int
    scored: bool


@dataclass(frozen=True, slots=True)
class Prompts:
    """Tasks to answer, and the name of the data that they come from."""

    name: str
    tasks: list[TaskPrompt]


def read_prompts(
    data: str | Path, purpose: Purpose, option: str, reading: ReadAs = AS_IT_IS
) -> Prompts:
    """Read tasks to answer: of a run as it stands, or from data in any format.

    Args:
        data: a run, a folder, a file, or a name on the hub.
        purpose: of the command.
        option: the option or argument that named it, for messages.
        reading: how to read a file.

    Raises:
        ConfigError: there is none, or a row cannot be used.
    """
    path = user_path(data, option)
    if run_exists(path):
        if tasks := prompts_of(open_run(path)):
            return Prompts(path.name, tasks)
        raise ConfigError(f"{path}: has no accepted task to ask about; generate some first")
    file = read_any(data, option, reading)
    rows: dict[str, TaskPrompt] = {}

    def add(row: DataRow) -> None:
        task = task_prompt(row)
        if purpose is PREFER:  # pairs are held out by whole instructions
            task = replace(task, group=row.group)
        if task.id in rows:  # ids of public data repeat
            task = replace(task, id=row.line_id, group=row.line_id)
        rows[task.id] = task

    file.converted(purpose, add)
    return Prompts(file.name if file.path is None else path.name, list(rows.values()))


def task_prompt(row: DataRow) -> TaskPrompt:
    """Return a row as a task to answer; its reference is empty where there is none.

    Raises:
        BadRowError: it has turns of tools, or no text.
    """
    if row.label is not None:  # a judged answer is not a reference
        row = replace(row, answer=None)
    if not row.user.strip():
        raise BadRowError(row.where, "has no prompt; give a text", "no prompt")
    if any(turn["role"] == "tool" or "tool_calls" in turn for turn in (*row.prompt, *row.turns)):
        problem = "has turns of tools, which a policy cannot continue; drop the row"
        raise BadRowError(row.where, problem, "turns of tools")
    if row.instruction is None:
        user = row.user.strip()
    else:
        user = user_text(row.instruction.strip(), row.input.strip())
    expect = expected_of(row)
    return TaskPrompt(row.id, row.id, user, row.answer_text.strip(), row.prompt[:-1], expect)


def require_references(scorers: Sequence[Scorer], prompts: Sequence[TaskPrompt]) -> None:
    """Refuse a labeller that needs answers or expectations which the data does not have.

    Raises:
        ConfigError: names the labeller and the first such task.
    """
    for scorer in scorers:
        bare = [prompt.id for prompt in prompts if not prompt.reference]
        if bare and scorer.labeller.needs is Needs.REFERENCE:
            raise ConfigError(
                f"{scorer.labeller.name}: {len(bare)} of {len(prompts)} tasks have no answer to "
                f"compare with (the first: {bare[0]}); give another labeller, or data with answers"
            )
        open_ = [prompt.id for prompt in prompts if not prompt.expect]
        if open_ and scorer.labeller.needs is Needs.EXPECTED:
            raise ConfigError(
                f"{scorer.labeller.name}: {len(open_)} of {len(prompts)} tasks do not say what a "
                f"good answer does (the first: {open_[0]}); give another labeller, or data with a "
                "column `expect`, such as `harm`"
            )


def prompts_of(run: Run) -> list[TaskPrompt]:
    """Return the tasks of a run as it stands, in the order in which they were written.

    Raises:
        StoreError: the run is damaged, or decisions about it are lost.
    """
    refuse_damaged(run)
    return [
        TaskPrompt(row.id, row.instruction_id, user_text(row.instruction, row.input), row.output)
        for row in export_rows(run)
    ]


def sample_answers(
    engine: Engine,
    *,
    prompts: Sequence[TaskPrompt],
    how: SampleSettings,
    out: Path,
    advance: Callable[[int, int], object],
    batch_size: int = BATCH,
) -> None:
    """Answer every prompt that has no answers yet, and commit batch by batch.

    With `how.scored`, the policy scores each answer too, by the labeller `likelihood`.

    Raises:
        EngineError: the engine failed; committed batches stay.
        WriteError: the disk refuses; committed batches stay.
    """
    answered = {answer.prompt_id for answer in read_scored(out)}
    owed = [prompt for prompt in prompts if prompt.id not in answered]
    if not owed:
        return
    asked = {prompt.id: conversation_prompt(engine, prompt.turns) for prompt in owed}
    instructed = instructed_prompts(engine, owed) if how.scored else {}
    longest = max(prompt_tokens(engine, text) for text in (*asked.values(), *instructed.values()))
    engine.start(min(engine.context_length, max(_LEAST_CONTEXT, longest + how.max_tokens + 1)))
    steps = len(owed) * how.k * (2 if how.scored else 1)
    batches = (
        [
            _OpenAnswer(request, instructed.get(prompt.id))
            for prompt in part
            for request in _requests(prompt.id, asked, how)
        ]
        for part in batched(owed, batch_size)
    )
    for batch in stream(engine, batches, lambda returned: advance(returned, steps)):
        commit_rows(out, ANSWERS, [part.answer for part in batch])


class _OpenAnswer:
    """An answer, and its score by the policy if the prompt for it is given."""

    def __init__(self, request: Request, instructed: Prompt | None) -> None:
        self.answer: ScoredAnswer  # once it is back
        self._request = request
        self._instructed = instructed
        self._written: Completion

    def start(self) -> list[Request]:
        return [self._request]

    def take(self, completion: Completion) -> list[Request]:
        if completion.request.stage is Stage.SCORE:
            self.answer = scored_by(self.answer, self._written, completion)
            return []
        self.answer, self._written = _answer(completion), completion
        if self._instructed is None:
            return []
        return score_request(completion, self._instructed)


def _requests(prompt_id: str, asked: Mapping[str, Prompt], how: SampleSettings) -> list[Request]:
    """Return a request for each of a prompt's answers."""
    sampling = SamplingConfig(temperature=how.temperature, max_tokens=how.max_tokens, stop=STOP)
    return [
        Request(
            id=ids.sampled(prompt_id, number),
            about=prompt_id,
            stage=Stage.ANSWER,
            reading=Reading(Form.WHOLE),
            prompt=asked[prompt_id],
            sampling=sampling,
            seed=derive_seed(how.seed, prompt_id, number),
        )
        for number in range(how.k)
    ]


def _answer(completion: Completion) -> ScoredAnswer:
    span = block(completion.text, 0, len(completion.text))  # code keeps its indentation
    return ScoredAnswer(
        id=completion.id,
        prompt_id=completion.request.about,
        text=completion.text[slice(*span)],
        num_tokens=completion.num_output_tokens,
        finished=completion.finish_reason == "stop",
    )
