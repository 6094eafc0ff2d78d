"""Join runs into one, under one novelty index: what several of them wrote counts once.

The rounds of all runs follow one another, renumbered, and their recorded completions are
judged again by the rules of the first run: the result is a run like any other, with its
own verdicts, which replays, exports and can grow.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import RunConfig, semantic_values
from selfinstruct.inputs.run_inputs import Inputs, parse_inputs, stored_config, stored_inputs
from selfinstruct.store import Run
from selfinstruct.verdicts.rejudge import Source, check_free, derived_meta, write_derived_run

log = logging.getLogger(__name__)

# Keys that may differ between runs: they decided what was asked, not how it is judged.
_ASKED_BY = re.compile(
    r"seed$|model\.|engine\.|propose\.|.*\.(sampling|exemplars)\b|.*\.(direct|gain)$"
)


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
    check_free(out)
    config = _config(runs)
    inputs, names = _inputs(runs)
    sources = [Source(run, renamed) for run, renamed in zip(runs, names, strict=True)]
    meta = derived_meta(runs, config, inputs, "merged_from")
    return write_derived_run(sources, out, config, inputs, meta, reason="merged", advance=advance)


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
                known[text] = ids.avoid(len(avoid))
            renamed[id] = known[text]
        names.append(renamed)
    files = {name: text for name, text in first.files.items() if not name.startswith("avoid")}
    if avoid:
        lines = (json.dumps({"instruction": text}, ensure_ascii=False) + "\n" for text in avoid)
        files["avoid.jsonl"] = "".join(lines).encode()
    return parse_inputs(files, first.prompts), names
