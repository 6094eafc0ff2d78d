"""Better outputs for the tasks of a run, written by another model: a teacher.

The instructions of a small model are mostly valid, its outputs often noisy (the paper, §4.2). The
teacher answers each accepted instance again, for the same instruction and input. The answer is
checked by the same rules as every instance of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import (
    ACCEPTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    LocalModel,
    Request,
    Stage,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, overlay
from selfinstruct.decisions.view import read_judged
from selfinstruct.engines.base import Engine
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.engines.stream import batched, stream
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.generate.session import Session
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.models import CATALOGUE, Progress, resolve_model
from selfinstruct.store import Run, run_lock
from selfinstruct.store.commits import ANSWERS, Commit, count_commits
from selfinstruct.verdicts.counts import count_outcomes
from selfinstruct.verdicts.later import verdict_on_answer

# Answers of one commit.
BATCH = 256


@dataclass(frozen=True, slots=True)
class Owed:
    """An instance of a task that the rules accepted, which the teacher has not answered."""

    task: InstructionCandidate
    instance: InstanceCandidate


@dataclass(frozen=True, slots=True)
class Answered:
    """Result of `answer`.

    owed: instances that had no answer before.
    written: answers that were written.
    accepted: how many of them passed.
    """

    owed: int
    written: int
    accepted: int


def answer(
    run: Run,
    values: Mapping[str, Any],
    *,
    make_engine: EngineFactory,
    model_progress: Progress,
    advance: Callable[[int, int], object],
    batch_size: int = BATCH,
) -> Answered:
    """Answer every task of a run that the teacher has not answered yet.

    Args:
        run: the run; gets new folders under `answers`.
        values: `model`, `engine` and `instances.sampling` values of the teacher, nested.
        make_engine: builds the engine without loading its model.
        model_progress: called with each step of preparing the model, and the share that is done.
        advance: called with (answers that are back, all that were owed).
        batch_size: answers of one commit.

    Raises:
        ConfigError: bad values, or a context too short for every answer.
        StoreError: the run is damaged.
        WriteError: the disk refuses; committed batches stay.
        EngineError: the engine failed; committed batches stay, the rest is owed.
    """
    _refuse_other_keys(values)
    config = teacher_config(run, values)
    inputs = stored_inputs(run)
    with run_lock(run.path):
        run.verify()
        count_commits(run)
        ANSWERS.verify(run)
        model = resolve_model(config.model.name, model_progress, config.engine.base_url)
        engine = make_engine(model, config.model, config.engine)
        mode = mode_of(model, engine, config)
        way = {
            "model": {"name": model.name, "digest": model.digest, "prompting": mode},
            "sampling": config.instances.sampling.model_dump(mode="json"),
            "system": config.model.system,
        }
        owed = _owed(run, way)
        if not owed:
            return Answered(0, 0, 0)
        builder = RequestBuilder(config, inputs, engine, {str(stage): mode for stage in Stage})
        requests = [_request(builder, task, 0) for task in owed]
        context_length = config.engine.context_length or builder.context_of(requests)
        session = Session(run, config, inputs, builder, engine)
        written = accepted = 0
        with closing(engine):
            engine.start(context_length)
            meta = {**way, "settings": dict(engine.settings())}
            first, started = ANSWERS.next_number(run), time.perf_counter()
            batches = (
                [_OpenAnswer(builder, task, number) for task in part]
                for number, part in enumerate(batched(owed, batch_size), start=first)
            )
            for batch in stream(engine, batches, lambda returned: advance(returned, len(owed))):
                seconds, started = time.perf_counter() - started, time.perf_counter()
                rows = _commit(session, batch, meta, seconds)
                written += len(rows)
                accepted += sum(row.verdict == ACCEPTED for row in rows)
    return Answered(len(owed), written, accepted)


class _OpenAnswer:
    """An instance that the teacher is asked about, in a commit of this number."""

    def __init__(self, builder: RequestBuilder, owed: Owed, number: int) -> None:
        self.owed = owed
        self.completion: Completion  # once it is back
        self._request = _request(builder, owed, number)

    def start(self) -> list[Request]:
        return [self._request]

    def take(self, completion: Completion) -> list[Request]:
        self.completion = completion
        return []


def _request(builder: RequestBuilder, owed: Owed, batch: int) -> Request:
    about = ids.answer(owed.instance.id, batch)
    return builder.answer(about, owed.task.text, owed.instance.input)


def _commit(
    session: Session, batch: Sequence[_OpenAnswer], meta: Mapping[str, Any], seconds: float
) -> list[InstanceCandidate]:
    """Check a batch of answers and commit it; return the answers.

    Args:
        session: the run and the teacher's engine.
        batch: every request of it is back.
        meta: what answers.json says of the teacher.
        seconds: since the batch before it was whole.
    """
    rulebook = session.rulebook
    completions = [part.completion for part in batch]
    rows = [
        verdict_on_answer(part.owed.task.text, part.owed.instance, part.completion, rulebook)
        for part in batch
    ]
    info = {
        **meta,
        "answers": count_outcomes(rows),
        "tokens": {
            "prompt": sum(c.num_prompt_tokens for c in completions),
            "generated": sum(c.num_output_tokens for c in completions),
        },
        "seconds": round(seconds, 3),
    }
    ANSWERS.commit(session.run, Commit(completions, (), rows, info))
    return rows


def _owed(run: Run, way: Mapping[str, Any]) -> list[Owed]:
    """Return the instances that were not answered in this way, in the order of the run.

    With another model, system prompt, prompting or sampling, an answer counts as another.

    Tasks are those that the rules accepted, whatever people decide: a decision changes what is
    exported, not what a teacher has answered.

    Args:
        run: the run.
        way: model, sampling and system prompt, as answers.json has them.
    """
    answered = {
        row.answer_to
        for number in ANSWERS.numbers(run)
        if _same_way(ANSWERS.info(run, number), way)
        for row in ANSWERS.read_instances(run, number)
    }
    return [
        Owed(judged.instruction, instance)
        for judged in read_judged(run).rounds()
        for instance in judged.accepted()
        if instance.id not in answered
    ]


def _same_way(info: Mapping[str, Any], way: Mapping[str, Any]) -> bool:
    same_model = all(info["model"][key] == way["model"][key] for key in ("digest", "prompting"))
    return same_model and all(info.get(key) == way[key] for key in ("sampling", "system"))


def _refuse_other_keys(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for a setting that would be ignored, since it is not the teacher's."""
    other = sorted(set(values) - {"model", "engine", "instances"})
    other += [f"instances.{key}" for key in values.get("instances", {}) if key != "sampling"]
    if other:
        raise ConfigError(
            f"{', '.join(other)}: not a setting of a teacher; give keys of model, engine or "
            "instances.sampling (the rules are those of the run)"
        )


def teacher_config(run: Run, values: Mapping[str, Any]) -> RunConfig:
    """Return the run's rules with the model, engine and sampling of another model.

    Args:
        run: the run.
        values: `model`, `engine` and `instances.sampling` values, nested.

    Raises:
        ConfigError: a value is wrong.
    """
    source = "command line"
    name = build_config(values, source).model.name
    entry = CATALOGUE.get(name)
    teacher = build_config(overlay(entry.recommended if entry else {}, values), source)
    rules = stored_config(run)
    instances = rules.instances.model_copy(update={"sampling": teacher.instances.sampling})
    propose = rules.propose.model_copy(update={"domain": None})
    return rules.model_copy(
        update={
            "model": teacher.model,
            "engine": teacher.engine,
            "instances": instances,
            "propose": propose,
        }
    )


def mode_of(model: LocalModel, engine: Engine, config: RunConfig) -> str:
    """Return base or chat: how another model is asked."""
    if config.model.prompting != "auto":
        return config.model.prompting
    if model.prompting is not None:
        return model.prompting[Stage.INSTANCES]
    return "chat" if engine.has_chat_template else "base"
