"""Better outputs for the tasks of a run, written by another model: a teacher.

The instructions of a small model are mostly valid, its outputs often noisy (the paper, §4.2). The
teacher answers each accepted instance again, for the same instruction and input. The answer is
checked by the same rules as every instance of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.records import ACCEPTED, Completion, Request, Stage
from selfinstruct.config.schema import RunConfig
from selfinstruct.decisions.view import read_judged
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.engines.stream import batched, stream
from selfinstruct.generate.answer_way import (
    BATCH,
    Answered,
    Asking,
    OpenAnswer,
    Owed,
    Setup,
    Way,
)
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.generate.session import Session
from selfinstruct.generate.teacher import mode_of, refuse_other_keys, teacher_config
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.models import Progress, resolve_model
from selfinstruct.store import Run, run_lock
from selfinstruct.store.commits import ANSWERS, Commit, count_commits
from selfinstruct.verdicts.counts import count_outcomes
from selfinstruct.verdicts.later import verdict_on_answer
from selfinstruct.verdicts.own_answers import KEY
from selfinstruct.verdicts.rulebook import Rulebook

__all__ = ["Answered", "answer", "mode_of", "teacher_config", "write_answers"]


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
    refuse_other_keys(values)
    asking = Asking(make_engine, model_progress, advance, batch_size)
    return write_answers(run, teacher_config(run, values), asking, _Once)


def write_answers(
    run: Run, config: RunConfig, asking: Asking, make_way: Callable[[Setup], Way]
) -> Answered:
    """Answer every task of a run that was not answered in a way yet.

    Args:
        run: the run; gets new folders under `answers`.
        config: the run's rules, with the model that answers.
        asking: how the model is asked.
        make_way: returns the way.

    Raises:
        ConfigError: bad values, or a context too short for every answer.
        StoreError: the run is damaged.
        WriteError: the disk refuses; committed batches stay.
        EngineError: the engine failed; committed batches stay, the rest is owed.
    """
    inputs = stored_inputs(run)
    with run_lock(run.path):
        run.verify()
        count_commits(run)
        ANSWERS.verify(run)
        model = resolve_model(config.model.name, asking.model_progress, config.engine.base_url)
        engine = asking.make_engine(model, config.model, config.engine)
        mode = mode_of(model, engine, config)
        builder = RequestBuilder(config, inputs, engine, {str(stage): mode for stage in Stage})
        way = make_way(Setup(config, engine, builder, mode))
        meta = {
            "model": {"name": model.name, "digest": model.digest, "prompting": mode},
            "sampling": config.instances.sampling.model_dump(mode="json"),
            "system": config.model.system,
            **way.settings,
        }
        unanswered = _owed(run, meta, way)
        owed = [task for task in unanswered if way.takes(task)]
        skipped = len(unanswered) - len(owed)
        if not owed:
            return Answered(0, 0, 0, skipped)
        asked = [request for task in owed for request in way.requests(task)]
        context_length = config.engine.context_length or builder.context_of(asked)
        session = Session(run, config, inputs, builder, engine)
        with closing(engine):
            engine.start(context_length)
            meta |= {"settings": dict(engine.settings())}
            written = _answer_all(session, way, owed, meta, asking)
    return replace(written, skipped=skipped)


def _answer_all(
    session: Session, way: Way, owed: Sequence[Owed], meta: Mapping[str, Any], asking: Asking
) -> Answered:
    """Ask about all tasks, and commit a batch after the other."""
    first, started = ANSWERS.next_number(session.run), time.perf_counter()
    batches = (
        [way.open(task, number) for task in part]
        for number, part in enumerate(batched(owed, asking.batch_size), start=first)
    )
    written = accepted = failed = 0

    def advance(returned: int) -> None:
        asking.advance(min(returned // way.completions, len(owed)), len(owed))

    for batch in stream(session.engine, batches, advance):
        seconds, started = time.perf_counter() - started, time.perf_counter()
        judged = [way.rows(part, session.rulebook) for part in batch]
        rows = [row for own in judged for row in own]
        _commit(session, batch, rows, {**meta, "seconds": round(seconds, 3)})
        written += len(rows)
        accepted += sum(row.verdict == ACCEPTED for row in rows)
        failed += sum(not own for own in judged)
    return Answered(len(owed), written, accepted, failed=failed)


class _Once:
    """The teacher answers each task once, as the run's templates ask."""

    settings: Mapping[str, Any] = {}
    completions = 1

    def __init__(self, setup: Setup) -> None:
        self._builder = setup.builder

    def is_same(self, info: Mapping[str, Any]) -> bool:
        return KEY not in info

    def takes(self, _owed: Owed) -> bool:
        return True

    def requests(self, owed: Owed) -> list[Request]:
        return [self._request(owed, 0)]

    def open(self, owed: Owed, number: int) -> OpenAnswer:
        return _OpenOnce(owed, self._request(owed, number))

    def rows(self, answer: OpenAnswer, rulebook: Rulebook) -> Sequence[AnswerCandidate]:
        owed = answer.owed
        [completion] = answer.completions
        return [verdict_on_answer(owed.task.text, owed.instance, completion, rulebook)]

    def _request(self, owed: Owed, batch: int) -> Request:
        about = ids.answer(owed.instance.id, batch)
        return self._builder.answer(about, owed.task.text, owed.instance.input)


class _OpenOnce:
    """An instance that the teacher is asked about."""

    def __init__(self, owed: Owed, request: Request) -> None:
        self.owed = owed
        self.completions: list[Completion] = []
        self._request = request

    def start(self) -> list[Request]:
        return [self._request]

    def take(self, completion: Completion) -> list[Request]:
        self.completions.append(completion)
        return []


def _commit(
    session: Session,
    batch: Sequence[OpenAnswer],
    rows: Sequence[AnswerCandidate],
    meta: Mapping[str, Any],
) -> None:
    """Commit a batch of answers.

    Args:
        session: the run and the engine of the model that answers.
        batch: every request of it is back.
        rows: the answers, judged.
        meta: what answers.json says of the model, and the seconds since the batch before it.
    """
    completions = [completion for part in batch for completion in part.completions]
    info = {
        **meta,
        "answers": count_outcomes(rows),
        "tokens": {
            "prompt": sum(c.num_prompt_tokens for c in completions),
            "generated": sum(c.num_output_tokens for c in completions),
        },
    }
    ANSWERS.commit(session.run, Commit(completions, (), rows, info))


def _owed(run: Run, meta: Mapping[str, Any], way: Way) -> list[Owed]:
    """Return the instances that were not answered in this way, in the order of the run.

    With another model, system prompt, prompting or sampling, an answer counts as another.

    Tasks are those that the rules accepted, whatever people decide: a decision changes what is
    exported, not what a teacher has answered.

    Args:
        run: the run.
        meta: model, sampling and system prompt, as answers.json has them.
        way: how it is answered.
    """
    answered = {
        row.answer_to
        for number in ANSWERS.numbers(run)
        if _same_model(ANSWERS.info(run, number), meta) and way.is_same(ANSWERS.info(run, number))
        for row in ANSWERS.read_answers(run, number)
    }
    return [
        Owed(judged.instruction, instance)
        for judged in read_judged(run).rounds()
        for instance in judged.accepted()
        if instance.id not in answered
    ]


def _same_model(info: Mapping[str, Any], meta: Mapping[str, Any]) -> bool:
    same = all(info["model"][key] == meta["model"][key] for key in ("digest", "prompting"))
    return same and all(info.get(key) == meta[key] for key in ("sampling", "system"))
