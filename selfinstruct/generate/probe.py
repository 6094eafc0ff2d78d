"""Which prompting suits a model: a few requests in each mode, judged by the rules of the run.

A chat template that exists is no reason to use it: a model may continue a list of tasks well as raw
text, and answer best in its template. So each stage is tried in each mode that the engine can do.
The result is kept in the run, and in the cache for the next run with the same model and prompts.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic, ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.paths import cache_folder
from selfinstruct.common.progress import Probed, ProbedRow
from selfinstruct.common.records import (
    LOOP_STAGES,
    Completion,
    InstructionCandidate,
    Request,
    Stage,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.engines.base import Engine, ask_all
from selfinstruct.generate.requests import PLAIN, PoolTask, RequestBuilder
from selfinstruct.inputs.run_inputs import Inputs
from selfinstruct.verdicts.candidates import check_instance_texts, has_failed
from selfinstruct.verdicts.classification import label_odds, references_among
from selfinstruct.verdicts.counts import written_tokens
from selfinstruct.verdicts.pool import first_standards
from selfinstruct.verdicts.rounds import check_instructions
from selfinstruct.verdicts.rulebook import Rulebook

log = logging.getLogger(__name__)

_PROPOSALS, _PROPOSAL_TOKENS = 5, 120
_TASKS, _TASK_TOKENS = 8, 120
# A shown task, or one that holds it: these are no proposals at all.
_COPIES = ("copies_prompt", "unchanged", "holds_known")
# Shares that differ by less are equal in a probe of this size.
_EQUAL = 0.1
# Of equal modes the first is taken. Answers are what a chat model was trained for, and the rules
# do not see whether an answer is right.
_ORDER = {
    Stage.PROPOSE: ("base", "chat", PLAIN),
    Stage.CLASSIFY: ("base", "chat"),
    Stage.INSTANCES: ("chat", "base"),
}


@dataclass(frozen=True)
class Trial:
    """What a probe needs: the run's config and inputs, and an engine."""

    config: RunConfig
    inputs: Inputs
    engine: Engine

    def builder(self, modes: Mapping[str, str]) -> RequestBuilder:
        """Return what writes the prompts of the modes of the stages."""
        return RequestBuilder(self.config, self.inputs, self.engine, modes)

    def builder_in(self, mode: str) -> RequestBuilder:
        """Return what writes the prompts of one mode."""
        modes = {str(stage): mode for stage in LOOP_STAGES}
        if mode == "base" and self.config.model.system:
            modes[Stage.INSTANCES] = "chat"  # raw text has no place for a system prompt
        return self.builder(modes)

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that the engine can do."""
        if not self.engine.has_chat_template:
            return ("base",)
        if not self.engine.capabilities.texts:
            return ("chat",)
        return ("base", "chat", PLAIN) if self.engine.capabilities.continues else ("base", "chat")

    def context(self) -> int:
        """Return the context length, in tokens, that every mode needs.

        Raises:
            ConfigError: the model's context is too short.
        """
        return max(self.builder_in(mode).check_context() for mode in self.modes)


def probe(
    trial: Trial, identity: Mapping[str, Any], advance: Callable[[int, int], object]
) -> Probed:
    """Try every stage in every mode, and choose one mode for each stage.

    Args:
        trial: config, inputs, and a started engine that renders conversations.
        identity: what the completions depend on besides the prompts (the model's digest, dtype).
        advance: called with (requests that are back, all of them).
    """
    started = time.perf_counter()
    parts = {
        (stage, mode): _requests(trial, stage, mode)
        for mode in trial.modes
        for stage in LOOP_STAGES
        if mode in _ORDER[stage] and (stage, mode) != _untried(trial.config)
    }
    requests = [request for part in parts.values() for request in part]
    asked = [[trial.engine.render(request.prompt), _sampling(request)] for request in requests]
    version = trial.config.rules_version
    key = fingerprint({**identity, "rules": version, "asked": asked})
    path = cache_folder() / "probe" / f"{key}.json"
    rows, cached = _read_cache(path), True
    if rows is None:
        cached = False
        completions = {c.id: c for c in ask_all(trial.engine, requests, advance)}
        rows = tuple(
            _judged(trial, stage, mode, [completions[request.id] for request in part])
            for (stage, mode), part in parts.items()
        )
        if not any(completion.error for completion in completions.values()):
            _write_cache(path, rows)
    return Probed(rows, chosen_modes(rows), time.perf_counter() - started, cached)


def chosen_modes(rows: Sequence[ProbedRow]) -> dict[str, str]:
    """Return the mode of each stage with the highest share kept; of equal ones, the first."""
    modes = {}
    for stage in LOOP_STAGES:
        own = {row.mode: row for row in rows if row.stage == stage}
        best = max(row.share for row in own.values())
        equal = [mode for mode in _ORDER[stage] if mode in own and own[mode].share > best - _EQUAL]
        modes[str(stage)] = equal[0]
    return modes


def _untried(config: RunConfig) -> tuple[Stage, str] | None:
    return (Stage.INSTANCES, "base") if config.model.system else None


def _requests(trial: Trial, stage: Stage, mode: str) -> list[Request]:
    """Return the requests of a stage, short ones; the mode stands before their ids."""
    builder, inputs = trial.builder_in(mode), trial.inputs
    rng = random.Random(derive_seed("probe"))
    if stage is Stage.CLASSIFY:
        requests, most = builder.known_tasks(ids.instruction(ids.proposal(0, 0), 0)), 4
    elif stage is Stage.PROPOSE:
        pool = [PoolTask(seed.pool_id, seed.instruction) for seed in inputs.seeds]
        shown = min(trial.config.propose.in_context, len(pool))
        topic = inputs.topics[0] if inputs.topics else ""
        requests = (
            builder.proposals(0, [], _PROPOSALS)
            if inputs.passages or builder.proposed.style.templates
            else [
                builder.proposed.listing(ids.proposal(0, number), rng.sample(pool, shown), topic)
                for number in range(_PROPOSALS)
            ]
        )
        # A task with its input is longer than an item of a list.
        most = 2 * _PROPOSAL_TOKENS if builder.proposed.style.templates else _PROPOSAL_TOKENS
    else:
        requests = [
            builder.instances(id, task, is_classification=False)
            for id, task in _answered_tasks(inputs).items()
        ]
        most = _TASK_TOKENS
    return [
        replace(
            request,
            id=f"{mode}-{request.id}",
            sampling=request.sampling.model_copy(
                update={"max_tokens": min(most, request.sampling.max_tokens)}
            ),
        )
        for request in requests
    ]


def _answered_tasks(inputs: Inputs) -> dict[str, str]:
    """Return the instructions that are answered, by id: seed tasks that are no classification."""
    free = [seed for seed in inputs.seeds if not seed.is_classification]
    tasks = random.Random(derive_seed("probe")).sample(free, min(_TASKS, len(free)))
    first = ids.proposal(0, 0)
    return {ids.instruction(first, i): task.instruction for i, task in enumerate(tasks)}


def _sampling(request: Request) -> dict[str, Any]:
    return {"seed": request.seed, **request.sampling.model_dump(mode="json")}


def _judged(trial: Trial, stage: Stage, mode: str, completions: Sequence[Completion]) -> ProbedRow:
    rulebook = Rulebook(trial.config, trial.inputs.prompts)
    back = [c for c in completions if not has_failed(c, rulebook.version)]
    judge = {
        Stage.PROPOSE: _judged_proposals,
        Stage.CLASSIFY: _judged_kinds,
        Stage.INSTANCES: _judged_instances,
    }[stage]
    candidates, unparsed, copies, kept = judge(trial, rulebook, back)
    tokens = sum(map(written_tokens, back))
    return ProbedRow(str(stage), mode, candidates, unparsed, copies, kept, tokens)


def _judged_proposals(
    trial: Trial, rulebook: Rulebook, completions: Sequence[Completion]
) -> tuple[int, int, int, int]:
    standards = first_standards(trial.inputs.first_pool, trial.config, {})
    rows = check_instructions(completions, 0, rulebook, standards)
    # The probe's own limit cuts the last item off.
    rows = [row for row in rows if row.reason != "truncated"]
    unparsed = sum(row.reason == "parse_failure" for row in rows)
    copies = sum(row.reason in _COPIES or row.rouge_l == 1 for row in rows)
    return len(rows), unparsed, copies, sum(row.verdict is None for row in rows)


def _judged_kinds(
    _: Trial, rulebook: Rulebook, completions: Sequence[Completion]
) -> tuple[int, int, int, int]:
    odds: dict[bool, list[float]] = {True: [], False: []}
    unparsed = 0
    for is_label, answer in references_among(completions, rulebook.prompts):
        value = label_odds(answer, rulebook.markers)
        unparsed += value is None
        odds[is_label].append(float("-inf") if value is None else value)
    pairs = [(label, text) for label in odds[True] for text in odds[False]]
    return len(pairs), unparsed, 0, sum(label > text for label, text in pairs)


def _judged_instances(
    trial: Trial, rulebook: Rulebook, completions: Sequence[Completion]
) -> tuple[int, int, int, int]:
    tasks = _answered_tasks(trial.inputs)
    kept = unparsed = 0
    for completion in completions:
        id = completion.request.about
        candidate = _candidate(id, tasks[id])
        rows = check_instance_texts(candidate, completion, rulebook, {})
        unparsed += any(row.reason == "parse_failure" for row in rows)
        # The probe's own limit cuts long answers off.
        kept += any(row.verdict is None or row.reason == "truncated" for row in rows)
    return len(completions), unparsed, 0, kept


def _candidate(id: str, text: str) -> InstructionCandidate:
    return InstructionCandidate(id, 0, "", 0, len(text), text, text, ())


def _read_cache(path: Path) -> tuple[ProbedRow, ...] | None:
    if not path.is_file():
        return None
    try:
        return tuple(ProbedRow(**row) for row in json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s: is damaged (%s); probing again", path, error)
        return None


def _write_cache(path: Path, rows: Sequence[ProbedRow]) -> None:
    """Write the cache; if that fails, the next run only takes longer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, json.dumps([asdict(row) for row in rows]).encode())
    except OSError as error:
        log.warning("%s: cannot be written (%s)", path, error.strerror)
