"""The public API: what `import selfinstruct` and the command line call (docs/python.md)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from selfinstruct import store
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import user_path
from selfinstruct.common.progress import (
    Advised,
    Conversed,
    Conversing,
    EngineLoading,
    EngineReady,
    Event,
    Listener,
    ModelPreparing,
    Probed,
    RoundCommitted,
)
from selfinstruct.common.revisions import Revised
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.dataset import export as exporting
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, ExportRow, export_rows

if TYPE_CHECKING:
    from datasets import Dataset

    from selfinstruct.audit.queries import Summary
    from selfinstruct.generate.probe_model import ModelProbe
    from selfinstruct.store.compact import Compacted
    from selfinstruct.verdicts.replay import Difference

log = logging.getLogger(__name__)

StrPath = str | PathLike[str]
Choice = TypeVar("Choice", bound=StrEnum)


class Run:
    """A run: its tasks, its candidates with their verdicts, and its counts.

    `open_run` and `generate` return it. It reads from the run's folder at each call, so that a
    run can be looked at while it grows.

    Attributes:
        path: the run's folder.
        stop_reason: why the run stopped (`target`, `min_yield`, `max_rounds`, `max_tokens`,
            `max_cost` or `interrupted`), read when the run was opened; None if the run is still
            running, failed, or was never generated (a merged run).

    Example:
        >>> run = si.open_run("outputs/first")
        >>> for task in run.tasks():
        ...     print(task.instruction, "->", task.output)
    """

    def __init__(self, run: store.Run, stop_reason: str | None) -> None:
        self._run = run
        self.path = run.path
        self.stop_reason = stop_reason

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, stop_reason={self.stop_reason!r})"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self._run.name

    def tasks(self, *, answers: str = "own") -> Iterator[ExportRow]:
        """Return the dataset: accepted tasks, with people's decisions applied.

        These are the rows that `export` writes, in the order in which they were generated. A
        task with two instances gives two rows with the same `instruction_id`.

        Args:
            answers: whose outputs: `own` (the run's), `teacher` (those of `selfinstruct
                answer`), `prefer-teacher` (the teacher's where there is one), `votes` (those of
                `answer --votes`), `rationales` (those of `answer --rationale`), `revision` (those
                of `selfinstruct revise`), or `prefer-revision`.

        Returns:
            An iterator of frozen records; each round is read when the iterator reaches it.

        Raises:
            ConfigError: no such `answers`.
            StoreError: a file of the run is damaged.

        Example:
            >>> import pandas as pd
            >>> frame = pd.DataFrame(run.tasks())
        """
        return export_rows(self._run, _choice(Answers, answers, "answers"))

    def candidates(
        self,
        stage: str = "instructions",
        *,
        verdict: str | None = None,
        reason: str | None = None,
        round: int | None = None,
        text: str | None = None,
        min_rouge: float | None = None,
        max_rouge: float | None = None,
        min_logprob: float | None = None,
        max_logprob: float | None = None,
        min_tokens: int | None = None,
        max_tokens: int | None = None,
        instruction_id: str | None = None,
        parent: str | None = None,
        overridden: bool | None = None,
        sort: str = "judged",
        descending: bool = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Return candidates, accepted and rejected, with verdict, reason and scores.

        None means no filter. Ranges include both ends. A candidate whose score is missing (NaN)
        matches no range.

        Args:
            stage: `instructions` or `instances`; or `conversations` or `turns` (`converse`), or
                `revisions` (`revise`), which can be filtered only by `verdict`, `reason`,
                `round`, `text` and `overridden`; or `answers` (`answer`), which can be filtered
                only by `verdict`, `reason`, `round`, `text` and `instruction_id`, and sorted by
                `agreement`.
            verdict: only `accepted` or `rejected`.
            reason: only those rejected for this reason, such as `not_novel`.
            round: only those of the round with this number.
            text: only those that contain this text; case is ignored.
            min_rouge: minimum `rouge_l`, the ROUGE-L with the nearest neighbour (instructions).
            max_rouge: maximum `rouge_l`.
            min_logprob: minimum `mean_logprob`, in nats per token.
            max_logprob: maximum `mean_logprob`.
            min_tokens: minimum `num_tokens`.
            max_tokens: maximum `num_tokens`.
            instruction_id: only instances of this instruction.
            parent: only instructions whose prompt showed the task with this id.
            overridden: only those with (True) or without (False) a person's decision.
            sort: `judged` (the order of the run), or a column, such as `rouge_l`.
            descending: the largest first.
            offset: how many to skip.
            limit: at most this many.

        Returns:
            One dict for each, with the columns of docs/run.md and `override`: the last decision
            of a person, or None.

        Raises:
            ConfigError: no such stage, verdict, reason or column, or a bad range.
            StoreError: a file of the run is damaged.

        Example:
            >>> near = run.candidates(reason="not_novel", max_rouge=0.75, limit=10)
            >>> [(row["text"], row["neighbour_id"]) for row in near]
        """
        from selfinstruct.audit import answers
        from selfinstruct.audit.chats import LATER_TABLES, find_chats
        from selfinstruct.audit.search import Filter, candidates

        wanted = Filter(
            stage,
            verdict=verdict,
            reason=reason,
            round=round,
            min_rouge=min_rouge,
            max_rouge=max_rouge,
            min_logprob=min_logprob,
            max_logprob=max_logprob,
            min_tokens=min_tokens,
            max_tokens=max_tokens,
            text=text,
            instruction_id=instruction_id,
            parent=parent,
            overridden=overridden,
        )
        find = find_chats if stage in LATER_TABLES else candidates
        find = answers.find_answers if stage == answers.TABLE else find
        return find(self._run, wanted, sort=sort, descending=descending, offset=offset, limit=limit)

    def summary(self) -> Summary:
        """Return the counts of the run: tasks, candidates by reason, yield by round, tokens.

        Raises:
            StoreError: a file of the run is damaged.

        Example:
            >>> run.summary().instructions
            {'accepted': 200, 'not_novel': 61, 'too_short': 12}
        """
        from selfinstruct.audit.queries import summarise

        return summarise(self._run)

    def replay(self) -> list[Difference]:
        """Judge the recorded completions again, without a model.

        Returns:
            Every verdict or score that differs from the recorded one; an empty list if none does.

        Raises:
            StoreError: a file of the run is damaged.

        Example:
            >>> assert not run.replay()
        """
        from selfinstruct.verdicts.replay import replay

        self._run.verify()
        return replay(self._run)

    def to_dataset(self, format: str = "parquet", *, answers: str = "own") -> Dataset:
        """Return the dataset as a `datasets.Dataset`, in memory.

        Args:
            format: as in `export`: `parquet` has every column (id, instruction, input, output,
                scores …), the others what a trainer reads.
            answers: as in `tasks`.

        Raises:
            ConfigError: the run has no tasks yet, there is no such format, or `datasets` is not
                installed.
            StoreError: a file of the run is damaged.

        Example:
            >>> train, test = run.to_dataset("messages").train_test_split(0.1).values()
        """
        chosen = _choice(Format, format, "format")
        return exporting.to_dataset(self._run, chosen, _choice(Answers, answers, "answers"))


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote.

    Attributes:
        path: the file.
        rows: how many rows it has.
        card: the dataset card beside it, or None.
        url: the dataset's address on the hub, or None.
        replaced: a short description of the file that was there before, or None.
        teachers: how many of the rows have a teacher's output, or a revision.
        config: the trainer's configuration file, or None.
        conversations: how many rows are whole conversations.
        shortened: how many conversations were cut to their first exchange, because the format
            cannot hold more.
    """

    path: Path
    rows: int
    card: Path | None = None
    url: str | None = None
    replaced: str | None = None
    teachers: int = 0
    config: Path | None = None
    conversations: int = 0
    shortened: int = 0


def generate(
    out: StrPath,
    *,
    target: int | None = None,
    model: str | None = None,
    engine: str | None = None,
    base_url: Sequence[str] | None = None,
    address: str | None = None,
    replicas: int | None = None,
    gpus_per_replica: int | None = None,
    dtype: str | None = None,
    seeds: StrPath | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    skip_invalid: bool | None = None,
    language: str | None = None,
    domain: str | None = None,
    topics: StrPath | None = None,
    avoid: StrPath | None = None,
    documents: StrPath | None = None,
    style: str | None = None,
    paraphrases: int | None = None,
    system: str | None = None,
    prompts: StrPath | None = None,
    prompting: str | None = None,
    config: StrPath | None = None,
    seed: int | None = None,
    resume: bool = False,
    min_yield: float | None = None,
    min_logprob: float | None = None,
    max_logprob: float | None = None,
    max_rounds: int | None = None,
    max_tokens: int | None = None,
    max_cost: float | None = None,
    price_in: float | None = None,
    price_out: float | None = None,
    turns: int | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Listener | None = None,
) -> Run:
    """Grow seed tasks into a dataset, until the target is reached or another stop rule applies.

    The arguments are the options of `selfinstruct generate`. An argument that is None gets its
    value from `config`, from the run that is resumed, or from the defaults (docs/config.md). You
    can interrupt it at any time: committed rounds are safe, and `resume=True` continues.

    Args:
        out: the run's folder, such as `outputs/first`.
        target: number of tasks.
        model: `bundled`, a name of `selfinstruct models list`, a folder, a hub name, or the address
            of a server, `http://host:8000/v1#name`.
        engine: what runs the model, such as `vllm`.
        base_url: addresses of servers that serve `model`, such as `http://host:8000/v1`.
        address: with `engine="ray"`, the cluster: `auto` or `host:6379`.
        replicas: with `engine="ray"`, copies of the model.
        gpus_per_replica: with `engine="ray"`, GPUs for each copy, all in one machine.
        dtype: `auto`, `float32` (repeats a run exactly on a CPU), `bfloat16` or `float16`.
        seeds: seed tasks: a run, a file in any known format (docs/data.md), or a hub name.
        format: the format of the seeds, such as `alpaca`; None: recognised from their columns.
        columns: maps our column names to those of the seeds: `{"instruction": "query"}`.
        skip_invalid: leave out unusable rows of the inputs, and count them.
        language: language of the tasks: `de`, `vi` or `zh` (docs/languages.md); None: English.
        domain: the domain of all tasks, such as `veterinary care`.
        topics: a file with one topic per line; each proposal is given one.
        avoid: a file of texts that no task may repeat.
        documents: a file or folder of documents; each proposal is given a passage, which is the
            input of its tasks.
        style: how new tasks are asked for: `self-instruct`, `unnatural`, `evolve` or `magpie`
            (docs/styles.md).
        paraphrases: with `style="unnatural"`, other wordings of each task to ask for.
        system: the system prompt for chat prompting.
        prompts: a folder with templates of your own.
        prompting: `base`, `chat`, or `auto` for what suits the model.
        config: a YAML file; the arguments of this call override it.
        seed: random seed of all draws and all sampling.
        resume: continue the run in `out`, or start it if there is none.
        min_yield: stop when the share of candidates that become tasks falls below this.
        min_logprob: reject texts whose mean log-probability is below this, in nats per token.
        max_logprob: reject texts whose mean log-probability is above this: mostly repetition.
        max_rounds: stop after this many rounds.
        max_tokens: stop after this many generated tokens.
        max_cost: stop when the tokens of all rounds have cost this much.
        price_in: price of a million tokens of prompts, in any currency.
        price_out: price of a million generated tokens.
        turns: after the last round, continue each task as a conversation of at most this many
            exchanges, as `converse` does.
        settings: any key of the config, dotted or nested; these override all others:
            `{"novelty.threshold": 0.6, "propose": {"per_round": 256}}`.
        progress: called with each event (`RoundCommitted` and others); by default, they are
            logged at level INFO.

    Returns:
        The run; `stop_reason` says why it stopped.

    Raises:
        ConfigError: an argument, the config or an input file is wrong; nothing was written.
        EngineError: the engine failed; committed rounds are safe, resume later.
        WriteError: a file could not be written; committed rounds are safe, resume later.
        StoreError: the run in `out` is damaged.

    Example:
        >>> run = si.generate("outputs/first", target=200, seeds="mine.jsonl", resume=True)
        >>> run.stop_reason
        'target'
    """
    from selfinstruct.config.converse import build_converse_config
    from selfinstruct.config.values import engine_of, nested, overlay, read_yaml
    from selfinstruct.engines.kept import kept
    from selfinstruct.engines.registry import build_engine, required_engine
    from selfinstruct.generate.converse import converse as converse_run
    from selfinstruct.generate.launch import launch
    from selfinstruct.models.endpoint import with_endpoint

    folder = user_path(out, "out")
    if turns is not None:
        build_converse_config({"turns": turns})
    arguments: dict[str, Any] = {
        "stop.target": target,
        "stop.min_yield": min_yield,
        "stop.max_rounds": max_rounds,
        "stop.max_tokens": max_tokens,
        "stop.max_cost": max_cost,
        "stop.price_in": price_in,
        "stop.price_out": price_out,
        "likelihood.min_logprob": min_logprob,
        "likelihood.max_logprob": max_logprob,
        "model.name": model,
        "engine.name": engine,
        "engine.base_url": list(base_url) if base_url else None,
        "engine.address": address,
        "engine.replicas": replicas,
        "engine.gpus_per_replica": gpus_per_replica,
        "model.dtype": dtype,
        "model.prompting": prompting,
        "model.system": system,
        "language": language,
        "propose.domain": domain,
        "propose.style": style,
        "propose.paraphrases": paraphrases,
        "seeds": seeds and str(seeds),
        "seeds_format": format,
        "skip_invalid": skip_invalid,
        "topics": topics and str(topics),
        "avoid": avoid and str(avoid),
        "documents": documents and str(documents),
        "prompts": prompts and str(prompts),
        "seed": seed,
    }
    given = nested({key: value for key, value in arguments.items() if value is not None})
    if columns is not None:
        given["seeds_columns"] = dict(columns)
    given = overlay(given, nested(settings or {}))
    if config is not None:
        given = overlay(read_yaml(Path(config)), given)
    given = with_endpoint(given)
    required_engine(engine_of(given) or (_engine_of_run(folder) if resume else None))
    listen = progress or _log_event
    with kept(build_engine) as make_engine:
        run, reason = launch(
            folder,
            given,
            resume=resume,
            make_engine=make_engine,
            listen=listen,
            source=str(config) if config is not None else "arguments",
        )
        if turns is not None:
            conversed = converse_run(
                run,
                {"converse": {"turns": turns}},
                make_engine=make_engine,
                model_progress=lambda step, share: listen(ModelPreparing(step, share)),
                advance=lambda done, owed: listen(Conversing(done, owed)),
            )
            listen(conversed)
    return Run(run, reason)


def converse(
    run: Run | StrPath,
    *,
    turns: int | None = None,
    model: str | None = None,
    engine: str | None = None,
    base_url: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    advance: Callable[[int, int], object] | None = None,
) -> Conversed:
    """Continue each accepted task of a run as a conversation of a model with itself.

    The task and its output are the first exchange; the model then writes as the user and as the
    assistant (docs/conversations.md). Call it again to continue after a stop, or after the run has
    grown: tasks that already have a conversation with these settings are skipped.

    Args:
        run: a run, or its folder.
        turns: maximum exchanges per conversation, the task and its output included (default 3).
        model: another model that plays both sides; the run's own by default.
        engine: what runs the model, such as `vllm`.
        base_url: addresses of servers that serve `model`, such as `http://host:8000/v1`.
        settings: any key of `converse`, `model`, `engine` and `instances.sampling`, dotted or
            nested: `{"converse.max_shared": 0.8}`.
        advance: called with two numbers: how many conversations are done, and how many are to be
            written in all.

    Returns:
        Counts of conversations: to be written, written, and accepted.

    Raises:
        ConfigError: an argument is wrong, or the run's model was changed.
        EngineError: the engine failed; committed conversations are safe. Call `converse` again.
        WriteError: a file could not be written; committed conversations are safe. Call `converse`
            again.
        StoreError: the run is damaged.

    Example:
        >>> si.converse(run, turns=4).accepted
        147
    """
    from selfinstruct.config.values import engine_of, nested, overlay
    from selfinstruct.engines.registry import build_engine, required_engine
    from selfinstruct.generate.converse import converse as converse_run
    from selfinstruct.models.endpoint import with_endpoint

    arguments = {
        "converse.turns": turns,
        "model.name": model,
        "engine.name": engine,
        "engine.base_url": list(base_url) if base_url else None,
    }
    given = nested({key: value for key, value in arguments.items() if value is not None})
    given = with_endpoint(overlay(given, nested(settings or {})))
    opened = (run if isinstance(run, Run) else open_run(run))._run
    required_engine(engine_of(given) or _engine_of_run(opened.path))
    return converse_run(
        opened,
        given,
        make_engine=build_engine,
        model_progress=lambda step, share: log.debug("model: %s (%.0f%%)", step, 100 * share),
        advance=advance or (lambda done, owed: log.info("%d/%d conversations", done, owed)),
    )


def revise(
    run: Run | StrPath,
    *,
    principles: StrPath | None = None,
    rounds: int | None = None,
    draft: bool | None = None,
    model: str | None = None,
    engine: str | None = None,
    base_url: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    advance: Callable[[int, int], object] | None = None,
) -> Revised:
    """Have a model criticise each output of a run by a principle, and rewrite it.

    The method is Constitutional AI (docs/revise.md). Call it again to continue after a stop, or
    after the run has grown: outputs that are revised with these settings are skipped.

    Args:
        run: a run, or its folder.
        principles: a file of principles; the shipped ones by default.
        rounds: steps of critique and revision for each output (default 1).
        draft: True: the model first answers each task itself, and revises that answer. This also
            answers tasks that have no output.
        model: another model that criticises and rewrites; the run's own by default.
        engine: what runs the model, such as `vllm`.
        base_url: addresses of servers that serve `model`, such as `http://host:8000/v1`.
        settings: any key of `revise`, `model`, `engine` and `instances.sampling`, dotted or
            nested: `{"revise.may_decline": False}`.
        advance: called with two numbers: how many outputs are revised, and how many are to be
            revised in all.

    Returns:
        Counts of outputs and of revisions, by `accepted` or reason.

    Raises:
        ConfigError: an argument or the file of principles is wrong, or the run's model was changed.
        EngineError: the engine failed; committed revisions are safe. Call `revise` again.
        WriteError: a file could not be written; committed revisions are safe. Call `revise` again.
        StoreError: the run is damaged.

    Example:
        >>> si.revise(run, rounds=2).accepted
        231
    """
    from selfinstruct.config.values import engine_of, nested, overlay
    from selfinstruct.engines.registry import build_engine, required_engine
    from selfinstruct.generate.revise import revise as revise_run
    from selfinstruct.models.endpoint import with_endpoint
    from selfinstruct.prompts.principles import read_principles

    arguments = {
        "revise.rounds": rounds,
        "revise.draft": draft,
        "model.name": model,
        "engine.name": engine,
        "engine.base_url": list(base_url) if base_url else None,
    }
    given = nested({key: value for key, value in arguments.items() if value is not None})
    given = with_endpoint(overlay(given, nested(settings or {})))
    chosen = read_principles(principles if principles is None else os.fspath(principles))
    opened = (run if isinstance(run, Run) else open_run(run))._run
    required_engine(engine_of(given) or _engine_of_run(opened.path))
    return revise_run(
        opened,
        given,
        chosen,
        make_engine=build_engine,
        model_progress=lambda step, share: log.debug("model: %s (%.0f%%)", step, 100 * share),
        advance=advance or (lambda done, owed: log.info("%d/%d outputs revised", done, owed)),
    )


def compact(run: Run | StrPath, progress: Callable[[int], object] | None = None) -> Compacted:
    """Put the rounds of a run into fewer, larger files (docs/run.md).

    The contents of the run do not change. A run does this by itself after every 500 rounds.

    Args:
        run: a run, or its folder.
        progress: called with the number of each round that is written.

    Returns:
        How many rounds were put into how many packs (files with many rounds).

    Raises:
        ConfigError: there is no run, or another process writes to it.
        StoreError: the run is damaged; it stays as it is.
        WriteError: a file could not be written; nothing is lost.

    Example:
        >>> si.compact("outputs/first").packs
        1
    """
    from selfinstruct.store.compact import compact as compact_rounds

    opened = (run if isinstance(run, Run) else open_run(run))._run
    with store.run_lock(opened.path):
        return compact_rounds(opened, progress or (lambda _: None))


def import_dataset(
    dataset: StrPath,
    out: StrPath,
    *,
    template: str | Sequence[str],
    columns: Mapping[str, str] | None = None,
    value: Mapping[str, str] | None = None,
    per_row: int | None = 1,
    inverted: float | None = None,
    rationale: float | None = None,
    examples: int | Mapping[int, float] = 0,
    rows: int | None = None,
    max_instances: int | None = None,
    max_per_output: int | None = None,
    seeds: StrPath | None = None,
    avoid: StrPath | None = None,
    config: StrPath | None = None,
    seed: int = 0,
    skip_invalid: bool = False,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Run:
    """Make a run from the rows of a dataset, with templates and without a model (docs/import.md).

    The rules and the novelty filter judge the tasks as they judge generated ones. The result is a
    run: you can audit, merge and export it, and train on it.

    Args:
        dataset: a file of any kind (docs/data.md), a folder, or a name on the hub.
        out: the run's folder.
        template: template files, or names of shipped ones; with several, `qa@2` gives `qa` the
            weight 2.
        columns: maps the templates' column names to the dataset's, where they differ.
        value: columns that the dataset lacks, with the one value that they have in every row.
        per_row: forms of the templates that each row gets, drawn by weight; None: every form.
        inverted: share of the rows that get the inverted form, if the template has one.
        rationale: of the rows that are not inverted, the share that get a form whose answer
            includes its reasons, if the template has one.
        examples: worked examples before an input: a number, or the weight of each number.
        rows: at most this many rows, drawn at random.
        max_instances: maximum number of instances of an instruction.
        max_per_output: maximum number of instances of an instruction with the same output.
        seeds: seed tasks that no instruction may repeat; none by default.
        avoid: a file of texts that no instruction may repeat.
        config: a YAML file with rules and thresholds.
        seed: random seed of all draws.
        skip_invalid: leave out rows that a template cannot use, and log how many.
        resume: continue an import that was interrupted, or start it.
        settings: any key of the config, dotted or nested.
        progress: called with the number of committed instances, and the number of all instances.

    Returns:
        The run.

    Raises:
        ConfigError: dataset, templates or an argument is wrong; nothing was written.
        StoreError: the run in `out` is damaged.
        WriteError: a file could not be written; committed instances are safe.

    Example:
        >>> si.import_dataset("reviews.csv", "outputs/reviews", template="sentiment").name
        'reviews'
    """
    from selfinstruct.config.values import nested, overlay, read_yaml
    from selfinstruct.inputs.task_plan import Mixture
    from selfinstruct.verdicts.import_request import Import
    from selfinstruct.verdicts.importing import import_dataset as run_import

    given = {"seeds": seeds and str(seeds), "avoid": avoid and str(avoid)}
    values: dict[str, Any] = {key: path for key, path in given.items() if path}
    values = overlay(values, nested(settings or {}))
    if config is not None:
        values = overlay(read_yaml(Path(config)), values)
    mixture = Mixture(
        per_row, {examples: 1.0} if isinstance(examples, int) else dict(examples), rows, seed
    )
    what = Import(
        dataset=os.fspath(dataset),
        templates=[template] if isinstance(template, str) else list(template),
        mixture=mixture,
        columns=dict(columns or {}),
        constants=dict(value or {}),
        inverted=inverted,
        rationale=rationale,
        max_instances=max_instances,
        max_per_output=max_per_output,
        skip_invalid=skip_invalid,
        values=values,
    )
    ignored = progress or (lambda _done, _total: None)
    done = run_import(what, user_path(out, "out"), resume=resume, advance=ignored)
    for problem, count in done.skipped.items():
        log.warning("%d rows were left out: %s", count, problem)
    return Run(done.run, "imported")


def open_run(path: StrPath) -> Run:
    """Open a run for reading.

    Args:
        path: the run's folder.

    Raises:
        ConfigError: there is no run.
        StoreError: it is damaged, or newer than this version of selfinstruct.

    Example:
        >>> si.open_run("outputs/first").summary().tasks
        200
    """
    run = store.open_run(user_path(path, "path"))
    status = run.status()
    reason = status.get("reason") if status["state"] == "stopped" else None
    return Run(run, None if reason is None else str(reason))


def export(
    run: Run | StrPath,
    out: StrPath,
    *,
    format: str | None = None,
    trainer: str | None = None,
    answers: str = "own",
    reasoning: bool = False,
    conversations: bool | None = None,
    reasons: Sequence[str] = (),
    restored: bool = False,
    min_logprob: float | None = None,
    max_rouge: float | None = None,
    min_words: int | None = None,
    system: str | None = None,
    card: bool = False,
    push: str | None = None,
    private: bool = False,
    force: bool = False,
    ignore_damaged_decisions: bool = False,
    plain_controls: bool = False,
    min_agreement: float | None = None,
    without_rationale: bool = False,
    min_judge_score: float | None = None,
    rubric: str | None = None,
    pairs: bool = False,
) -> Exported:
    """Write the accepted tasks of a run to a file that trainers and `load_dataset` read.

    Args:
        run: a run, or its folder.
        out: the file to write. An earlier export there is replaced.
        format: a format of `selfinstruct export` (docs/training.md), such as `parquet`, which has
            ids and scores too; None: `messages`, or what the trainer reads.
        trainer: a program that will train on it, such as `axolotl`: picks the format, and writes
            its configuration beside the file.
        answers: whose outputs, as in `Run.tasks`.
        reasoning: keep what the model thought before its outputs: as a `<think>` block before
            the answer, and in `alpaca` and `parquet` as a field `reasoning`.
        conversations: True: write whole conversations (`converse`) instead of the tasks that open
            them. False: write only the tasks. None: whole conversations in `messages` and
            `sharegpt`, tasks in the other formats.
        reasons: only tasks that were rejected for one of these, and restored by a person.
        restored: only tasks that a person restored.
        min_logprob: only outputs at least as likely, in nats per token.
        max_rouge: only instructions whose ROUGE-L with their nearest neighbour is at most this.
        min_words: only outputs of at least this many words.
        system: a system prompt for every row.
        card: write a dataset card, `README.md`, beside the file.
        push: upload file and card to the hub, as this `OWNER/NAME`.
        private: with `push`: a new repository is private.
        force: replace the file even if no export wrote it, or if it was changed since; also
            replace a dataset card.
        ignore_damaged_decisions: export even if lines of overrides.jsonl (people's decisions) are
            lost or damaged.
        plain_controls: leave out control characters, marks of direction and zero-width marks.
        min_agreement: least agreement of answers by votes, instead of the one that they were
            judged by.
        without_rationale: write only the final answer of answers with a rationale.
        min_judge_score: least score of `audit judge`; a task without one is left out.
        rubric: with `min_judge_score`, the name of the rubric; None: the last one used.
        pairs: write preference pairs: each revision as chosen, its draft as rejected, as JSON
            lines. `answers` and `format` do not apply.

    Returns:
        What was written.

    Raises:
        ConfigError: the run has no tasks yet, or none match; or `reasoning` is set but the run has
            no recorded reasoning; or the file cannot be written, has the extension of another
            format, or exists and was not written by an export.
        PublishError: the hub refuses the upload; the file is complete.
        WriteError: the disk is full or broken.
        StoreError: a file of the run, or the record of a person's decision, is damaged.

    Example:
        >>> si.export(run, "train.jsonl", format="messages").rows
        200
    """
    from selfinstruct.dataset import publish
    from selfinstruct.dataset.card import check_card, dataset_card, write_card
    from selfinstruct.dataset.replace import check_suffix, record, replaced
    from selfinstruct.dataset.select import Selection, check_pairs
    from selfinstruct.dataset.trainers import config_path, trainer_of, write_config

    program = trainer_of(trainer) if trainer is not None else None
    if program is not None and format not in (None, program.format):
        raise ConfigError(f"--for {trainer}: reads {program.format}, not {format}; leave one out")
    named = str(program.format) if program is not None else format or "messages"
    choice = _choice(Format, named, "format"), _choice(Answers, answers, "answers")
    selection = Selection(
        tuple(reasons),
        restored,
        min_logprob,
        max_rouge,
        min_words,
        system or None,
        conversations,
        plain_controls,
        min_agreement,
        without_rationale,
        min_judge_score,
        rubric,
        pairs,
    )
    if (min_agreement is not None or without_rationale) and choice[1] is Answers.OWN:
        raise ConfigError(
            "min_agreement, without_rationale: are about the answers of `selfinstruct answer`; "
            "add --answers votes or --answers rationales"
        )
    if min_judge_score is not None and choice[1] is not Answers.OWN:
        raise ConfigError(
            "--min-judge-score: judges the run's own outputs; leave --answers out, or "
            "--min-judge-score"
        )
    if pairs:
        choice = check_pairs(selection, *choice, given=bool(format or trainer))
    if push is not None:
        publish.check_repo(push)
    elif private:
        raise ConfigError("--private needs --push REPO")
    opened = (run if isinstance(run, Run) else open_run(run))._run
    file = user_path(out, "out")
    if not ignore_damaged_decisions:
        exporting.refuse_damaged_decisions(opened)
    exporting.refuse_own_files(opened, file)
    check_suffix(file, choice[0])
    before = replaced(opened, file, force=force)
    if card:
        check_card(file.parent, force=force)
    if program is not None:
        config_path(program, file)
    content = exporting.ExportContent(opened, *choice, reasoning=reasoning, selection=selection)
    exporting.write_export(
        opened, file, content, lambda: record(opened, file, content.digest, content.rows)
    )
    config = write_config(program, file) if program is not None else None
    written = None
    if card:
        written = write_card(opened, file.parent, *choice, selection, force=force)
    url = None
    if push is not None:
        url = publish.push(push, file, dataset_card(opened, *choice, selection), private=private)
    teachers = exporting.count_teachers(opened, choice[1], selection.limits)
    whole = exporting.holds_conversations(*choice, conversations)
    held = exporting.count_conversations(opened) if conversations is not False else 0
    chats = (held, 0) if whole else (0, held)
    return Exported(file, content.rows, written, url, before, teachers, config, *chats)


def _engine_of_run(out: Path) -> str | None:
    """Return the engine that the run in `out` names, if there is a run."""
    from selfinstruct.inputs.run_inputs import stored_config

    return stored_config(store.open_run(out)).engine.name if store.run_exists(out) else None


def probe_model(
    model: str = "bundled",
    *,
    engine: str | None = None,
    seeds: StrPath | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Listener | None = None,
) -> ModelProbe:
    """Try which prompting suits a model: a few proposals and answers in each mode.

    Args:
        model: a name of `models list`, a folder, a hub name, or a server's address.
        engine: the engine to use.
        seeds: a file of seed tasks; the shipped ones by default.
        settings: any key of the config, as for `generate`.
        progress: called with each event; by default, they are logged at level INFO.

    Returns:
        The rows of the table, and the mode chosen for each stage.

    Raises:
        ConfigError: an argument or an input file is wrong.
        EngineError: the engine failed.
    """
    from selfinstruct.config.values import engine_of, nested, overlay
    from selfinstruct.engines.registry import build_engine, required_engine
    from selfinstruct.generate.probe_model import probe_model as run_probe
    from selfinstruct.models.endpoint import with_endpoint

    arguments = {"model.name": model, "engine.name": engine, "seeds": seeds and str(seeds)}
    given = nested({key: value for key, value in arguments.items() if value is not None})
    given = with_endpoint(overlay(given, nested(settings or {})))
    required_engine(engine_of(given))
    return run_probe(given, make_engine=build_engine, listen=progress or _log_event)


def _log_event(event: Event) -> None:
    """Log what a run tells, where nobody listens to it."""
    match event:
        case ModelPreparing():
            log.debug("model: %s (%.0f%%)", event.step, 100 * event.share)
        case EngineLoading():
            log.info("loading %s into %s", event.model, event.engine)
        case EngineReady():
            log.info("engine ready in %.1f s", event.seconds)
        case Probed():
            chosen = ", ".join(f"{stage} {mode}" for stage, mode in event.modes.items())
            log.info("prompting, as a probe of %.0f s found: %s", event.seconds, chosen)
        case RoundCommitted():
            log.info("round %d: %d/%d tasks", event.round, event.tasks, event.target)
        case Advised():
            log.warning("%s", event.text)
        case Conversed():
            log.info("%s", event)
        case _:
            log.debug("%s", event)


def _choice(kind: type[Choice], value: str, name: str) -> Choice:
    """Return a member of an enum by its value.

    Raises:
        ConfigError: there is none.
    """
    try:
        return kind(value)
    except ValueError as error:
        known = [str(one) for one in kind]
        raise ConfigError(
            f"{name} {value!r}: there is none; {did_you_mean(value, known)}there are: "
            f"{', '.join(known)}"
        ) from error
