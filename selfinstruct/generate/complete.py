"""Write the instances of instructions that passed without any.

`merge` and `audit whatif --out` leave such instructions as `pending_instances`, and a person
restores others (`audit restore`, `audit edit`). The model, prompts and rules are those of the run.
The result is a commit of its own beside the rounds (a supplement), since rounds are never
rewritten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import InstructionCandidate, LocalModel
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config
from selfinstruct.decisions.counts import waiting
from selfinstruct.decisions.view import by_round, read_view
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.generate.failures import Retries
from selfinstruct.generate.open_round import OpenRound, instruction_asked
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.generate.session import Session
from selfinstruct.generate.state import committed_thresholds
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.models import Progress, resolve_model
from selfinstruct.store import Run, run_lock
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.commits import SUPPLEMENTS, Commit
from selfinstruct.verdicts.counts import counted, written_tokens
from selfinstruct.verdicts.later import verdicts_of_supplement

# Instructions of one commit; a crash loses at most these.
BATCH = 256


@dataclass(frozen=True, slots=True)
class Supplemented:
    """Result of `complete`.

    owed: instructions that lacked instances.
    tasks: how many of them are tasks now.
    failed: how many still wait, since the engine failed on their requests.
    """

    owed: int
    tasks: int
    failed: int = 0


def pending(run: Run) -> list[InstructionCandidate]:
    """Return the instructions of a run that wait for their instances, as recorded, in order.

    They passed only when they were judged again, or a person restored them. Instructions that a
    person dropped, or typed an output for, do not wait.
    """
    return _owed(run)[0]


def _owed(run: Run) -> tuple[list[InstructionCandidate], dict[str, str]]:
    """Return `pending`, and the present text of each instruction that a person restored, by id."""
    view = read_view(run)
    texts = {standing.instruction.id: standing.instruction.text for standing in waiting(view)}
    owed = [
        row
        for number, instruction_ids in by_round(run, texts).items()
        for row in run.instructions(number, instruction_ids)
    ]
    return owed, {id: text for id, text in texts.items() if id in view.overrides.current}


def complete(
    run: Run,
    *,
    make_engine: EngineFactory,
    model_progress: Progress,
    advance: Callable[[int, int], object],
    engine: str | None = None,
    batch_size: int = BATCH,
) -> Supplemented:
    """Write and check the instances of every instruction that waits for them.

    Args:
        run: the run; gets new folders under `supplements`.
        make_engine: builds the engine without loading its model.
        model_progress: called with each step of preparing the model, and the share that is done.
        advance: called with (completed instructions, all that were owed).
        engine: name of the engine, if another than the run's.
        batch_size: instructions of one commit.

    Raises:
        ConfigError: the model is not the one that the run was made with, or the engine does not
            know the run's options.
        StoreError: the run is damaged.
        WriteError: the disk refuses; committed batches stay.
        EngineError: the engine failed, or failed on too many requests; committed batches stay,
            the rest is owed.
    """
    with run_lock(run.path):
        run.verify()
        owed, restored = _owed(run)
        if not owed:
            return Supplemented(0, 0)
        config, inputs = _config_by(run, engine), stored_inputs(run)
        model = own_model(run, config, model_progress)
        writer = make_engine(model, config.model, config.engine)
        modes = dict(run.meta["model"]["prompting"])
        builder = RequestBuilder(config, inputs, writer, modes)
        context_length = config.engine.context_length or builder.check_context()
        session = Session(run, config, inputs, builder, writer)
        thresholds = committed_thresholds(run, config)
        tasks = failed = 0
        try:
            writer.start(context_length)
            for start in range(0, len(owed), batch_size):
                part = owed[start : start + batch_size]
                texts = {row.id: restored[row.id] for row in part if row.id in restored}
                advance_part = partial(_advance, advance, start, len(owed))
                done = _complete_batch(session, part, texts, thresholds, advance_part)
                tasks, failed = tasks + done.tasks, failed + done.failed
        finally:
            writer.close()
    return Supplemented(len(owed), tasks, failed)


def _advance(
    advance: Callable[[int, int], object],
    before: int,
    total: int,
    returned: int,
    requests: int,
    part: int,
) -> None:
    """Report completed instructions; those of the present batch are estimated by its requests."""
    advance(before + part * returned // max(1, requests), total)


def last_round_of_writer(run: Run) -> int:
    """Return the last round that the run's own model wrote: the thresholds fit its scores.

    In a merged run, it is the last round of the first source; later rounds have thresholds of
    their own.
    """
    starts = sorted(calibration_starts(run))
    last = len(run.rounds()) - 1
    return min(starts[1] - 1, last) if len(starts) > 1 else last


def _config_by(run: Run, engine: str | None) -> RunConfig:
    """Return the run's config; with another engine, without options that set only speed."""
    config = stored_config(run)
    if engine is None or engine == config.engine.name:
        return config
    kept = config.engine.model_dump(mode="json", include={"context_length", "options"})
    values = {**config.model_dump(mode="json"), "engine": {**kept, "name": engine}}
    return build_config(values, f"--engine {engine}")


def own_model(run: Run, config: RunConfig, progress: Progress) -> LocalModel:
    """Return the model that the run was made with.

    Raises:
        ConfigError: it has none, or the model of that name has other files now.
    """
    if not run.has_model:
        raise ConfigError(
            f"{run.path}: begins with imported tasks, so no model writes it; type an output "
            "(audit edit ID --output TEXT), or merge again with a generated run first"
        )
    model = resolve_model(config.model.name, progress, config.engine.base_url)
    if model.digest != run.meta["model"]["digest"]:
        raise ConfigError(
            f"{run.path}: the model {model.name!r} is not the one that this run was made with "
            "(its files differ); restore it"
        )
    return model


def _complete_batch(
    session: Session,
    owed: Sequence[InstructionCandidate],
    restored: Mapping[str, str],
    thresholds: LikelihoodThresholds,
    advance: Callable[[int, int, int], object],
) -> Supplemented:
    """Ask, wait, check and commit. What failed for good is left out: it is asked for again.

    Args:
        session: the run and its started engine.
        owed: instructions without instances.
        restored: the texts of those that a person restored, by id.
        thresholds: the likelihood thresholds of the run.
        advance: called with (requests that are back, all requests, instructions).

    Raises:
        EngineError: too many requests failed; nothing of the batch is committed.
    """
    started = time.perf_counter()
    instructions = [replace(row, text=restored.get(row.id, row.text)) for row in owed]
    work = _ask(session, instructions, advance)
    failed = work.failed_instructions
    rows = [row for row in owed if row.id not in failed]
    completions = [c for c in work.completions() if instruction_asked(c) not in failed]
    last = last_round_of_writer(session.run)
    texts = {id: text for id, text in restored.items() if id not in failed}
    verdicts = verdicts_of_supplement(rows, completions, last, session.rulebook, thresholds, texts)
    info = {
        "last_round": last,
        **({"restored": texts} if texts else {}),
        **counted(verdicts),
        "tokens": {
            "prompt": sum(c.num_prompt_tokens for c in completions),
            "generated": sum(map(written_tokens, completions)),
        },
        "seconds": round(time.perf_counter() - started, 3),
    }
    if rows:
        commit = Commit(completions, verdicts.instructions, verdicts.instances, info)
        SUPPLEMENTS.commit(session.run, commit)
    return Supplemented(len(owed), verdicts.tasks, len(failed))


def _ask(
    session: Session,
    instructions: Sequence[InstructionCandidate],
    advance: Callable[[int, int, int], object],
) -> OpenRound:
    """Return the work on a batch, once every request of it came back."""
    work = OpenRound(0, session.rulebook, session.builder, [])
    retries = Retries()
    session.engine.submit(work.ask(instructions))
    while not work.finished:
        for completion in session.engine.collect():
            again = retries.are_left(completion)
            session.engine.submit([completion.request] if again else work.take(completion))
        advance(*work.returned_of, len(instructions))
    work.stop_if_failing("this batch of instructions")
    return work
