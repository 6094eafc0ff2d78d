"""Revisions: a model criticises each answer of a run by a principle, and rewrites it.

Bai et al. 2022 (Constitutional AI, arXiv:2212.08073, §3). Each step draws a principle. The model
writes a critique of the answer by that principle, then a revision, for as many steps as are
wanted. verdicts/revisions.py judges; this file asks and commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.common.records import ACCEPTED, Completion, Request, Stage
from selfinstruct.common.revisions import Revised, Revision
from selfinstruct.config.revise import ReviseConfig, build_revise_config
from selfinstruct.decisions.revisions import revisable
from selfinstruct.decisions.view import read_view
from selfinstruct.engines.base import Engine
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.engines.stream import batched, stream
from selfinstruct.generate.failures import stop_if_too_many
from selfinstruct.generate.revise_requests import ReviseRequests
from selfinstruct.generate.writer import Writer, refuse_other_keys, writer_of
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.models import Progress
from selfinstruct.prompts.principles import Principle, Principles
from selfinstruct.prompts.revising import RevisePrompts, load_revise_prompts
from selfinstruct.store import Run, run_lock
from selfinstruct.store.commits import REVISED, Commit, count_commits
from selfinstruct.store.revisions import read_revision_commits
from selfinstruct.verdicts.counts import count_outcomes, written_tokens
from selfinstruct.verdicts.revision_commits import counted_revisions, way_of
from selfinstruct.verdicts.revisions import (
    RevisionSettings,
    Series,
    SeriesState,
    new_series,
    recorded_settings,
)
from selfinstruct.verdicts.rulebook import Rulebook

# Series of one commit.
BATCH = 32
_WHAT = "revisions"


@dataclass(frozen=True)
class Making:
    """What the revisions of a call are made by.

    rulebook: the run's rules; model and sampling are those of the model that writes.
    principles: those of the file, with the seed of their draws.
    info: the part of a commit's JSON that says it: `model`, `settings` and `prompts`.
    engine: not started.
    """

    run: Run
    rulebook: Rulebook
    principles: Principles
    settings: RevisionSettings
    requests: ReviseRequests
    engine: Engine
    info: Mapping[str, Any]


def revise(
    run: Run,
    values: Mapping[str, Any],
    principles: Sequence[Principle],
    *,
    make_engine: EngineFactory,
    model_progress: Progress,
    advance: Callable[[int, int], object],
) -> Revised:
    """Revise every output of a run that was not revised in this way.

    Args:
        run: the run; gets new folders under `revisions`.
        values: `revise`, `model`, `engine` and `instances.sampling` values, nested. Without
            `model.name`, the run's own model writes, prompted as for the run.
        principles: one is drawn for each step.
        make_engine: builds the engine without loading its model.
        model_progress: called with each step of preparing the model, and the share that is done.
        advance: called with (series that are done, all that were owed).

    Raises:
        ConfigError: bad values, a model that is not the run's own, or a context too short for
            every series.
        StoreError: the run is damaged.
        WriteError: the disk refuses; committed batches stay.
        EngineError: the engine failed, or failed on too many requests; committed batches stay,
            the rest is owed.
    """
    refuse_other_keys(values, "revise", _WHAT)
    config = build_revise_config(values.get("revise", {}))
    others = {key: value for key, value in values.items() if key != "revise"}
    with run_lock(run.path):
        run.verify()
        count_commits(run)
        REVISED.verify(run)
        drawn = Principles(tuple(principles), stored_config(run).seed)
        writer = writer_of(run, others, make_engine, model_progress, _WHAT)
        making = _make(run, config, drawn, writer)
        owed, left = _owed(making, labels=config.labels)
        if not owed:
            return left
        context = writer.config.engine.context_length or making.requests.context_of(owed)
        with closing(making.engine):
            making.engine.start(context)
            done = _Writing(making, owed, context).run(advance)
    return replace(done, undrafted=left.undrafted, labels=left.labels)


def _make(run: Run, config: ReviseConfig, principles: Principles, writer: Writer) -> Making:
    """Return how revisions are made."""
    prompts, inputs = _prompts_of(run), stored_inputs(run)
    mode = "base" if writer.modes[Stage.INSTANCES] == "base" else "chat"
    settings = RevisionSettings(
        config.rounds,
        config.draft,
        config.may_decline,
        principles.recorded,
        prompts.shown(mode),
    )
    requests = ReviseRequests(writer, config, settings, prompts, inputs)
    info = {
        "model": writer.recorded,
        "settings": {
            **recorded_settings(settings),
            "critique_sampling": config.critique_sampling.model_dump(mode="json"),
            "sampling": writer.config.instances.sampling.model_dump(mode="json"),
            "system": requests.system,
            "thinking": writer.config.model.thinking,
        },
        "prompts": dict(prompts.files),
    }
    rulebook = Rulebook(writer.config, inputs.prompts)
    return Making(run, rulebook, principles, settings, requests, writer.engine, info)


def _prompts_of(run: Run) -> RevisePrompts:
    """Return the prompts of the run's last revisions, or the shipped ones if it has none.

    So a run that an older release began to revise asks what it would have asked.
    """
    numbers = REVISED.numbers(run)
    if not numbers:
        return load_revise_prompts()
    return RevisePrompts(REVISED.info(run, numbers[-1])["prompts"])


def _owed(making: Making, *, labels: bool) -> tuple[list[Series], Revised]:
    """Return the series that are owed, and the counts of what is left out.

    A series is owed for each output as it stands that has none of this making; what a person
    edited since is another output. A task without an output is owed one where the model writes
    the drafts. A label has nothing to rewrite, and is owed none unless it is asked for.
    """
    run, settings, way = making.run, making.settings, way_of(making.info)
    taken: dict[str, int] = {}
    known: set[tuple[str | None, ...]] = set()
    for commit in read_revision_commits(run):
        is_same = way_of(commit.info) == way
        for draft, *_ in commit.series():
            owner = draft.instance_id or draft.instruction_id
            taken[owner] = taken.get(owner, 0) + 1
            if is_same:
                known.add(_key(draft, settings))
    owed: list[Series] = []
    undrafted = unrevised = 0
    for standing in read_view(run).standings():
        task = standing.instruction
        for instance in revisable(standing):
            if instance is None and not settings.draft:
                undrafted += 1
                continue
            if task.is_classification and not labels:
                unrevised += 1
                continue
            owner = task.id if instance is None else instance.id
            names = _names(making, owner)
            series = new_series(task, instance, taken.get(owner, 0), names, settings)
            if _key(series.draft, settings) not in known:
                owed.append(series)
    return owed, Revised(undrafted=undrafted, labels=unrevised)


def _key(draft: Revision, settings: RevisionSettings) -> tuple[str | None, ...]:
    """Return what makes a draft another one: its task, and its text unless the model writes it."""
    text = None if settings.draft else draft.text
    return draft.instruction_id, draft.instance_id, draft.instruction, draft.input, text


def _names(making: Making, owner: str) -> list[str]:
    """Return the name of the principle of each step: all of them come up before one returns."""
    order = making.principles.in_order(owner)
    return [order[step % len(order)].name for step in range(making.settings.rounds)]


class _OpenSeries:
    """A series from its first request to its last completion.

    Args:
        series: what is revised.
        making: what it is made by.
        context: of the started engine, in tokens.
    """

    def __init__(self, series: Series, making: Making, context: int) -> None:
        self._series = series
        self._requests = making.requests
        self._context = context
        self._state = SeriesState(series, making.rulebook, making.settings)
        self.completions: list[Completion] = []
        self.finished = False

    @property
    def rows(self) -> list[Revision]:
        """The draft and the revisions so far."""
        return self._state.rows

    @property
    def failed(self) -> bool:
        """Whether the engine failed on a request for good: then the series is owed again."""
        return any(completion.error is not None for completion in self.completions)

    def start(self) -> list[Request]:
        return self._next()

    def take(self, completion: Completion) -> list[Request]:
        self.completions.append(completion)
        if completion.error is not None:
            self.finished = True
            return []
        self._state.take(completion)
        return self._next()

    def _next(self) -> list[Request]:
        """Return the next request, if there is to be one and the context has room."""
        step = self._state.next_request()
        if step is None or not self._requests.has_room(
            self._series, self._state, step, self._context
        ):
            self.finished = True
            return []
        return [self._requests.request(self._series, self._state, step)]


class _Writing:
    """Series in order: many are open at a time, and each batch is committed once it is whole.

    Args:
        making: what they are made by; its engine is started.
        owed: what is revised.
        context: of the engine, in tokens.
    """

    def __init__(self, making: Making, owed: Sequence[Series], context: int) -> None:
        self._making = making
        self._open = [_OpenSeries(series, making, context) for series in owed]
        self._last_commit = time.perf_counter()

    def run(self, advance: Callable[[int, int], object]) -> Revised:
        """Write all of them; `advance` as `revise` has it.

        Raises:
            EngineError: the engine died, or failed on too many requests.
            WriteError: the disk refuses.
        """
        rows: list[Revision] = []

        def tell(_returned: int) -> None:
            advance(sum(one.finished for one in self._open), len(self._open))

        for batch in stream(self._making.engine, batched(self._open, BATCH), tell):
            rows += self._commit(batch)
        revisions = [row for row in rows if not row.is_draft]
        return Revised(
            owed=len(self._open),
            drafts=sum(row.is_draft and row.verdict == ACCEPTED for row in rows),
            written=len(revisions),
            outcomes=count_outcomes(revisions),
            failed=sum(one.failed for one in self._open),
        )

    def _commit(self, batch: Sequence[_OpenSeries]) -> list[Revision]:
        """Commit a batch. What failed for good is left out: it is owed again.

        Raises:
            EngineError: too many requests failed; nothing of the batch is committed.
        """
        returned = [completion for one in batch for completion in one.completions]
        stop_if_too_many(returned, len(returned), "this batch of revisions")
        whole = [one for one in batch if not one.failed]
        if not whole:
            return []
        completions = [completion for one in whole for completion in one.completions]
        rows = [row for one in whole for row in one.rows]
        now = time.perf_counter()
        info = {
            **self._making.info,
            **counted_revisions(rows),
            "tokens": {
                "prompt": sum(c.num_prompt_tokens for c in completions),
                "generated": sum(map(written_tokens, completions)),
            },
            "seconds": round(now - self._last_commit, 3),
        }
        self._last_commit = now
        REVISED.commit(self._making.run, Commit(completions, (), (), info, revisions=rows))
        return rows
