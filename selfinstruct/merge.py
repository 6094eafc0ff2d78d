"""Join runs into one, under one novelty index: what several of them wrote counts once.

The rounds of all runs follow one another, renumbered, and their recorded completions are
judged again by the rules of the first run: the result is a run like any other, with its
own verdicts, which replays, exports and can grow.
"""

from __future__ import annotations

import json
import logging
import re
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
from selfinstruct.store import RoundData, Run, create_run, run_exists, run_lock

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
    if run_exists(out):
        raise ConfigError(f"{out}: is a run already; give another --out")
    for run in runs:
        run.verify()
    config = _config(runs)
    inputs, names = _inputs(runs)
    with run_lock(out):
        merged = create_run(out, _meta(runs, config, inputs), inputs.as_stored())
        keeper = PoolKeeper(inputs.first_pool, config)
        number = tasks = 0
        for run, renamed in zip(runs, names, strict=True):
            offset = number
            for source in run.rounds():
                completions = [_moved(c, offset, renamed) for c in run.completions(source)]
                room = config.stop.target - tasks
                verdicts = judge_round(
                    completions, number, config, inputs.prompts, keeper.index, room=room
                )
                keeper.settle(verdicts)
                info = _info(run.info(source), number, verdicts, config)
                judged = (verdicts.instructions, verdicts.instances)
                merged.commit(RoundData(number, completions, *judged, info))
                tasks += verdicts.tasks
                number += 1
                advance(run.round_path(source))
        merged.write_status(
            "stopped", reason="merged", tasks=tasks, target=config.stop.target, rounds=number
        )
    return merged


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
    return configs[0].model_copy(
        update={"stop": configs[0].stop.model_copy(update={"target": target})}
    )


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
    source: Mapping[str, Any], number: int, verdicts: Verdicts, config: RunConfig
) -> dict[str, Any]:
    kept = {key: value for key, value in source.items() if key not in ("checksums",)}
    candidates = len(verdicts.instructions)
    return {
        **kept,
        "round": number,
        "target": config.stop.target,
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
