"""Better outputs for the tasks of a run, written by another model: a teacher.

Instructions that a small model writes are mostly valid, its outputs often noisy (the
paper, §4.2). Each accepted instance is answered anew, for the same instruction and input,
and the answer is judged by the same rules as every instance of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import (
    ACCEPTED,
    InstanceCandidate,
    InstructionCandidate,
    LocalModel,
    Request,
    Stage,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, overlay
from selfinstruct.engines.base import Engine, ask_all
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.inputs.run_inputs import Inputs, stored_config, stored_inputs
from selfinstruct.models import CATALOGUE, Progress, resolve_model
from selfinstruct.store import Run, run_lock
from selfinstruct.store.answers import (
    AnswerBatch,
    answer_batches,
    answer_info,
    commit_answers,
    next_batch,
    read_answers,
    verify_answers,
)
from selfinstruct.store.supplements import current_round, read_completed
from selfinstruct.verdicts.counts import count_outcomes
from selfinstruct.verdicts.later import verdict_on_answer

# Answers of one commit: what a crash can cost at most.
BATCH = 256


@dataclass(frozen=True, slots=True)
class Owed:
    """An accepted instance of an accepted instruction that the teacher has not answered."""

    task: InstructionCandidate
    instance: InstanceCandidate


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of it: `done` answers by now, of them `accepted`; `owed` before."""

    owed: int
    done: int
    accepted: int


def answer(
    run: Run,
    given: Mapping[str, Any],
    *,
    make_engine: EngineFactory,
    model_progress: Progress,
    advance: Callable[[int, int], object],
    batch_size: int = BATCH,
) -> Answered:
    """Answer every task of a run that the teacher has not answered yet.

    Args:
        run: the run; gets new folders under `answers`.
        given: `model`, `engine` and `instances.sampling` values of the teacher, nested.
        make_engine: builds the engine without loading its model.
        model_progress: told of the preparation of a model.
        advance: told how many answers have come, of how many.
        batch_size: answers of one commit.

    Raises:
        ConfigError: bad values, or a context too short for every answer.
        StoreError: the run is damaged.
        WriteError: the disk refuses; committed batches stay.
        EngineError: the engine failed; committed batches stay, the rest is owed.
    """
    _refuse_other_keys(given)
    config = _teacher_config(run, given)
    inputs = stored_inputs(run)
    with run_lock(run.path):
        run.verify()
        verify_answers(run)
        model = resolve_model(config.model.name, model_progress)
        engine = make_engine(model, config.model, config.engine)
        mode = _mode(model, engine, config)
        asked = {
            "model": {"name": model.name, "digest": model.digest, "prompting": mode},
            "sampling": config.instances.sampling.model_dump(mode="json"),
            "system": config.model.system,
        }
        owed = _owed(run, asked)
        if not owed:
            return Answered(0, 0, 0)
        builder = RequestBuilder(config, inputs, engine, {str(stage): mode for stage in Stage})
        requests = [_request(builder, one, 0) for one in owed]
        context_length = config.engine.context_length or builder.context_of(requests)
        done = accepted = 0
        try:
            engine.start(context_length)
            meta = {**asked, "settings": dict(engine.settings())}
            for start in range(0, len(owed), batch_size):
                part = owed[start : start + batch_size]
                told = partial(_advance, advance, done, len(owed))
                rows = _answer_batch(run, part, builder, engine, config, inputs, meta, told)
                done += len(rows)
                accepted += sum(row.verdict == ACCEPTED for row in rows)
        finally:
            engine.close()
    return Answered(len(owed), done, accepted)


def _advance(advance: Callable[[int, int], object], before: int, owed: int, count: int) -> None:
    advance(before + count, owed)


def _request(builder: RequestBuilder, one: Owed, batch: int) -> Request:
    about = ids.answer(one.instance.id, batch)
    return builder.answer(about, one.task.text, one.instance.input)


def _answer_batch(
    run: Run,
    owed: Sequence[Owed],
    builder: RequestBuilder,
    engine: Engine,
    config: RunConfig,
    inputs: Inputs,
    meta: Mapping[str, Any],
    advance: Callable[[int], object],
) -> list[InstanceCandidate]:
    """Ask, wait, judge and commit."""
    number = next_batch(run)
    started = time.perf_counter()
    requests = [_request(builder, one, number) for one in owed]
    ordered = ask_all(engine, requests, lambda done, _: advance(done))
    rows = [
        verdict_on_answer(one.task.text, one.instance, completion, config, inputs.prompts.markers)
        for one, completion in zip(owed, ordered, strict=True)
    ]
    info = {
        **meta,
        "answers": count_outcomes(rows),
        "tokens": {
            "prompt": sum(c.num_prompt_tokens for c in ordered),
            "generated": sum(len(c.token_ids) for c in ordered),
        },
        "seconds": round(time.perf_counter() - started, 3),
    }
    commit_answers(run, AnswerBatch(number, ordered, rows, info))
    return rows


def _owed(run: Run, asked: Mapping[str, Any]) -> list[Owed]:
    """Return what was not answered in just this way, in the order of the run.

    Another model, system prompt, prompting or sampling is another answer.
    """
    answered = {
        row.answer_to
        for number in answer_batches(run)
        if _same_way(answer_info(run, number), asked)
        for row in read_answers(run, number)
    }
    owed = []
    completed = read_completed(run)
    for number in run.rounds():
        instructions, instances = current_round(run, number, completed)
        tasks = {c.id: c for c in instructions if c.verdict == ACCEPTED}
        for instance in instances:
            task = tasks.get(instance.instruction_id)
            if task is not None and instance.verdict == ACCEPTED and instance.id not in answered:
                owed.append(Owed(task, instance))
    return owed


def _same_way(info: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    model = {key: info["model"][key] for key in ("digest", "prompting")}
    wanted = {key: asked["model"][key] for key in ("digest", "prompting")}
    rest = all(info.get(key) == asked[key] for key in ("sampling", "system"))
    return rest and model == wanted


def _refuse_other_keys(given: Mapping[str, Any]) -> None:
    """Refuse to ignore a setting: only those of the teacher count."""
    other = sorted(set(given) - {"model", "engine", "instances"})
    other += [f"instances.{key}" for key in given.get("instances", {}) if key != "sampling"]
    if other:
        raise ConfigError(
            f"{', '.join(other)}: not a setting of a teacher; give keys of model, engine or "
            "instances.sampling (the rules are those of the run)"
        )


def _teacher_config(run: Run, given: Mapping[str, Any]) -> RunConfig:
    """Return the run's rules with the teacher's model, engine and sampling."""
    source = "command line"
    name = build_config(given, source).model.name
    entry = CATALOGUE.get(name)
    teacher = build_config(overlay(entry.recommended if entry else {}, given), source)
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


def _mode(model: LocalModel, engine: Engine, config: RunConfig) -> str:
    """Return base or chat."""
    if config.model.prompting != "auto":
        return config.model.prompting
    if model.prompting is not None:
        return model.prompting[Stage.INSTANCES]
    return "chat" if engine.has_chat_template else "base"
