"""Join runs into one, under one novelty index: what several of them wrote counts once.

The rounds of all runs follow one another, renumbered, and their recorded completions are
judged again by the rules of the first run: the result is a run like any other, with its
own verdicts, which replays, exports and can grow.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfinstruct import __version__
from selfinstruct.config import RunConfig, fingerprint, semantic_values
from selfinstruct.decide import PoolKeeper, Verdicts, judge_round
from selfinstruct.errors import ConfigError
from selfinstruct.generate import count_outcomes
from selfinstruct.inputs import Inputs, parse_inputs, stored_config, stored_inputs
from selfinstruct.records import Completion
from selfinstruct.store import RoundData, Run, create_run, rename_run, run_lock
from selfinstruct.store.answers import (
    AnswerBatch,
    answer_batches,
    answer_info,
    commit_answers,
    next_batch,
    read_answer_completions,
    read_answers,
    verify_answers,
)
from selfinstruct.store.lock import LOCK_FILE

log = logging.getLogger(__name__)

# Keys that may differ between runs: they decided what was asked, not how it is judged.
_ASKED_BY = re.compile(r"seed$|model\.|engine\.|propose\.|.*\.(sampling|exemplars)\b|.*\.direct$")


def merge(runs: Sequence[Run], out: Path, advance: Callable[[Path], object] = id) -> Run:
    """Write a run that holds the rounds of all others.

    Args:
        runs: two or more; the first gives config, seeds and templates.
        out: the new run's folder.
        advance: told of each round's folder once it is taken over.

    Raises:
        ConfigError: fewer than two runs, different templates, or `out` is there already.
        StoreError: a run is damaged.
    """
    if len(runs) < 2:
        raise ConfigError("merge needs two runs or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already; give another --out")
    for run in runs:
        run.verify()
        verify_answers(run)
    config = _config(runs)
    inputs, names = _inputs(runs)
    # Under another name until it is whole: what is cut off is never taken for a run.
    work = out.with_name(f".{out.name}.merging")
    with run_lock(work):
        try:
            discard(work)
            merged = create_run(work, _meta(runs, config, inputs), inputs.as_stored())
            keeper = PoolKeeper(inputs.first_pool, config)
            for run, renamed in zip(runs, names, strict=True):
                _take_over(run, renamed, merged, keeper, config, inputs, advance)
            tasks = sum(merged.info(number)["tasks"] for number in merged.rounds())
            merged.write_status(
                "stopped",
                reason="merged",
                tasks=tasks,
                target=config.stop.target,
                rounds=len(merged.rounds()),
            )
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        rename_run(work, out)
    return Run(out, merged.meta)


def discard(work: Path) -> None:
    """Clear away what a merge that was killed has left; the lock that we hold stays."""
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK_FILE:
            path.unlink()


def _take_over(
    run: Run,
    renamed: Mapping[str, str],
    merged: Run,
    keeper: PoolKeeper,
    config: RunConfig,
    inputs: Inputs,
    advance: Callable[[Path], object],
) -> None:
    """Judge the rounds of a run again, commit them as the next ones, and its answers.

    A run brings at most as many tasks as it was to have; where some fall, those that were
    over its target move up.
    """
    offset = len(merged.rounds())
    before = sum(merged.info(number)["tasks"] for number in merged.rounds())
    taken = 0
    for source in run.rounds():
        number = offset + source
        info = run.info(source)
        room = info["target"] - taken
        completions = [_moved(c, offset, renamed) for c in run.completions(source)]
        verdicts = judge_round(completions, number, config, inputs.prompts, keeper.index, room=room)
        keeper.settle(verdicts)
        found = _info(info, number, verdicts, before + taken + room)
        judged = (verdicts.instructions, verdicts.instances)
        merged.commit(RoundData(number, completions, *judged, found))
        taken += verdicts.tasks
        advance(run.round_path(source))
    for batch in answer_batches(run):
        _take_over_answers(run, batch, merged, offset)


def _take_over_answers(run: Run, batch: int, merged: Run, offset: int) -> None:
    def moved(id: str) -> str:
        return _renumbered(id, offset)

    rows = [
        replace(
            row,
            id=moved(row.id),
            instruction_id=moved(row.instruction_id),
            round=row.round + offset,
            completion_id=moved(row.completion_id),
            answer_to=moved(row.answer_to or ""),
        )
        for row in read_answers(run, batch)
    ]
    completions = [_moved(c, offset, {}) for c in read_answer_completions(run, batch)]
    number = next_batch(merged)
    commit_answers(merged, AnswerBatch(number, completions, rows, answer_info(run, batch)))


def _config(runs: Sequence[Run]) -> RunConfig:
    """Return the first run's config with the targets added up; warn of rules that differ."""
    configs = [stored_config(run) for run in runs]
    first = semantic_values(configs[0])
    for run, config in zip(runs[1:], configs[1:], strict=True):
        other = semantic_values(config)
        for key in sorted({*first, *other}):
            if first.get(key) != other.get(key) and not _ASKED_BY.match(key):
                log.warning(
                    "%s: %s is %r there and %r in %s, by which all is judged",
                    run.path,
                    key,
                    other.get(key),
                    first.get(key),
                    runs[0].path,
                )
    target = sum(config.stop.target for config in configs)
    # What stopped a run is no limit to the merged one.
    stop = {"target": target, "max_rounds": None, "max_tokens": None}
    return configs[0].model_copy(update={"stop": configs[0].stop.model_copy(update=stop)})


def _inputs(runs: Sequence[Run]) -> tuple[Inputs, list[dict[str, str]]]:
    """Return the first run's inputs, with what the others started from to be avoided too.

    And for each run, the new names of its pool ids.
    """
    all_inputs = [stored_inputs(run) for run in runs]
    first = all_inputs[0]
    for run, inputs in zip(runs[1:], all_inputs[1:], strict=True):
        if inputs.digests["prompts_sha256"] != first.digests["prompts_sha256"]:
            raise ConfigError(
                f"{run.path}: was made with other templates than {runs[0].path}, so that its "
                "completions cannot be read by the same rules; merge runs of one --prompts"
            )
    avoid = [text for _, text in first.avoid]
    known = {text: id for id, text in reversed(first.first_pool)}
    names: list[dict[str, str]] = []
    for inputs in all_inputs:
        renamed: dict[str, str] = {}
        for id, text in inputs.first_pool:
            if text not in known:
                avoid.append(text)
                known[text] = f"avoid:{len(avoid)}"
            renamed[id] = known[text]
        names.append(renamed)
    files = {name: text for name, text in first.files.items() if not name.startswith("avoid")}
    if avoid:
        lines = (json.dumps({"instruction": text}, ensure_ascii=False) + "\n" for text in avoid)
        files["avoid.jsonl"] = "".join(lines).encode()
    return parse_inputs(files, first.prompts), names


def _moved(completion: Completion, offset: int, renamed: Mapping[str, str]) -> Completion:
    request = completion.request
    parents = tuple(renamed.get(id) or _renumbered(id, offset) for id in request.parents)
    moved = replace(request, id=_renumbered(request.id, offset), parents=parents)
    return replace(completion, request=moved)


def _renumbered(id: str, offset: int) -> str:
    return re.sub(r"^r(\d+)", lambda found: f"r{int(found[1]) + offset:05d}", id)


def _info(
    source: Mapping[str, Any], number: int, verdicts: Verdicts, target: int
) -> dict[str, Any]:
    kept = {key: value for key, value in source.items() if key != "checksums"}
    candidates = len(verdicts.instructions)
    return {
        **kept,
        "round": number,
        "target": target,
        "tasks": verdicts.tasks,
        "yield": verdicts.tasks / candidates if candidates else 0.0,
        "instructions": count_outcomes(verdicts.instructions),
        "instances": count_outcomes(verdicts.instances),
    }


def _meta(runs: Sequence[Run], config: RunConfig, inputs: Inputs) -> dict[str, Any]:
    first = runs[0].meta
    identity = semantic_values(config) | inputs.digests
    sources = [
        {
            "run": str(run.path),
            "fingerprint": run.meta.get("fingerprint"),
            "model": run.meta["model"],
        }
        for run in runs
    ]
    return {
        "selfinstruct": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "fingerprint": fingerprint({**identity, "merged_from": sources}),
        "model": dict(first["model"]),
        "merged_from": sources,
        "inputs": inputs.digests,
        "packages": dict(first.get("packages", {})),
        "config": config.model_dump(mode="json"),
    }
