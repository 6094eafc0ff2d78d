"""Write the instances of instructions that passed without any.

`merge` and `audit whatif --out` leave such instructions as `pending_instances`, and a person
restores others (`audit restore`, `audit edit`). The model, prompts and rules are those of the run.
The result is a commit of its own beside the rounds (a supplement), since rounds are never
rewritten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Completion, InstructionCandidate, LocalModel, Request
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config
from selfinstruct.decisions.counts import waiting
from selfinstruct.decisions.view import by_round, read_view
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.engines.stream import batched, stream
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.generate.open_round import OpenRound, instruction_asked
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.generate.session import Session
from selfinstruct.generate.state import committed_thresholds
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.models import Progress, resolve_model
from selfinstruct.store import Run, run_lock
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.commits import SUPPLEMENTS, Commit, count_commits
from selfinstruct.verdicts.counts import counted, written_tokens
from selfinstruct.verdicts.later import verdicts_of_supplement

# Instructions of one commit.
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
        count_commits(run)
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
        tasks = failed = committed = 0
        opened: list[_OpenBatch] = []

        def batches() -> Iterator[list[_OpenBatch]]:
            for rows in batched(owed, batch_size):
                opened.append(_OpenBatch(session, rows, restored))
                yield opened[-1:]

        def tell(_returned: int) -> None:
            advance(committed + sum(batch.done for batch in opened), len(owed))

        with closing(writer):
            writer.start(context_length)
            started = time.perf_counter()
            for [batch] in stream(writer, batches(), tell):
                seconds, started = time.perf_counter() - started, time.perf_counter()
                done = _commit(session, batch, thresholds, seconds)
                tasks, failed = tasks + done.tasks, failed + done.failed
                opened.remove(batch)
                committed += done.owed
    return Supplemented(len(owed), tasks, failed)


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
            f"{run.path}: begins with imported tasks, so it has no model; type an output "
            "(audit edit ID --output TEXT), or merge again with a generated run first"
        )
    model = resolve_model(config.model.name, progress, config.engine.base_url)
    if model.digest != run.meta["model"]["digest"]:
        raise ConfigError(
            f"{run.path}: the model {model.name!r} is not the one that this run was made with "
            "(its files differ); restore it"
        )
    return model


class _OpenBatch:
    """Instructions that get their instances together: known tasks are asked about once for all.

    Args:
        session: the run and its engine.
        owed: the instructions, as recorded.
        restored: the texts of instructions that a person restored, by id.
    """

    def __init__(
        self,
        session: Session,
        owed: Sequence[InstructionCandidate],
        restored: Mapping[str, str],
    ) -> None:
        self.owed = owed
        self.restored = {row.id: restored[row.id] for row in owed if row.id in restored}
        self.work = OpenRound(0, session.rulebook, session.builder, [])

    @property
    def done(self) -> int:
        """Instructions that are done, estimated by the requests that are back."""
        returned, requests = self.work.returned_of
        return len(self.owed) * returned // max(1, requests)

    def start(self) -> list[Request]:
        texts = self.restored
        return self.work.ask([replace(row, text=texts.get(row.id, row.text)) for row in self.owed])

    def take(self, completion: Completion) -> list[Request]:
        return self.work.take(completion)


def _commit(
    session: Session, batch: _OpenBatch, thresholds: LikelihoodThresholds, seconds: float
) -> Supplemented:
    """Check a batch and commit it. What failed for good is left out: it is asked for again.

    Args:
        session: the run and its engine.
        batch: every request of it is back.
        thresholds: the likelihood thresholds of the run.
        seconds: since the batch before it was whole.

    Raises:
        EngineError: too many requests failed; nothing of the batch is committed.
    """
    work = batch.work
    work.stop_if_failing("this batch of instructions")
    failed = work.failed_instructions
    rows = [row for row in batch.owed if row.id not in failed]
    completions = [c for c in work.completions() if instruction_asked(c) not in failed]
    last = last_round_of_writer(session.run)
    texts = {id: text for id, text in batch.restored.items() if id not in failed}
    verdicts = verdicts_of_supplement(rows, completions, last, session.rulebook, thresholds, texts)
    info = {
        "last_round": last,
        **({"restored": texts} if texts else {}),
        **counted(verdicts),
        "tokens": {
            "prompt": sum(c.num_prompt_tokens for c in completions),
            "generated": sum(map(written_tokens, completions)),
        },
        "seconds": round(seconds, 3),
    }
    if rows:
        commit = Commit(completions, verdicts.instructions, verdicts.instances, info)
        SUPPLEMENTS.commit(session.run, commit)
    return Supplemented(len(batch.owed), verdicts.tasks, len(failed))
