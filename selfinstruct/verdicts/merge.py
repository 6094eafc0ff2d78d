"""Join runs into one, under one novelty index: a task that several of them wrote counts once.

The rounds of all runs follow one another, renumbered. Their recorded completions get new verdicts
by the rules of the first run. The result is a run like any other: it has its own verdicts, it
replays and exports, and it can grow.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import RunConfig, semantic_values
from selfinstruct.filters.similarity import composed
from selfinstruct.inputs.documents import PASSAGES_FILE, passages_bytes
from selfinstruct.inputs.run_inputs import (
    IMPORT_FILE,
    Inputs,
    parse_inputs,
    stored_config,
    stored_inputs,
)
from selfinstruct.store import Run
from selfinstruct.verdicts.rejudge import Derivation, Source, check_free, write_derived_run

log = logging.getLogger(__name__)

# Keys that may differ between runs: they affect the requests, not the verdicts.
_DECIDES_REQUESTS = re.compile(
    r"seed$|model\.|engine\.|propose\.|.*\.(sampling|exemplars)\b|.*\.(direct|gain)$"
)


def merge(runs: Sequence[Run], out: Path, advance: Callable[[Path], object] = id) -> Run:
    """Write a run that holds the rounds of all others.

    Args:
        runs: two or more; the first gives config, seeds and templates.
        out: the new run's folder.
        advance: called with the folder of each round that was taken over.

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
    derivation = Derivation(sources, config, inputs, origin="merged_from", reason="merged")
    return write_derived_run(derivation, out, advance)


def _config(runs: Sequence[Run]) -> RunConfig:
    """Return the first run's config with the sum of the targets; warn of rules that differ."""
    configs = [stored_config(run) for run in runs]
    first = semantic_values(configs[0])
    for run, config in zip(runs[1:], configs[1:], strict=True):
        other = semantic_values(config)
        for key in sorted({*first, *other}):
            if first.get(key) != other.get(key) and not _DECIDES_REQUESTS.match(key):
                log.warning(
                    "%s: %s is %r there and %r in %s, whose rules count for all",
                    run.path,
                    key,
                    other.get(key),
                    first.get(key),
                    runs[0].path,
                )
    target = sum(config.stop.target for config in configs)
    # The limits that stopped a run do not limit the merged one.
    stop = {"target": target, "max_rounds": None, "max_tokens": None}
    return configs[0].model_copy(update={"stop": configs[0].stop.model_copy(update=stop)})


def _inputs(runs: Sequence[Run]) -> tuple[Inputs, list[dict[str, str]]]:
    """Return the inputs of the merged run, and for each run the new names of its pool ids.

    They are the first run's; texts that only other runs started from are to be avoided too.
    """
    all_inputs = [stored_inputs(run) for run in runs]
    first = all_inputs[0]
    for run, inputs in zip(runs[1:], all_inputs[1:], strict=True):
        if inputs.digests["prompts_sha256"] != first.digests["prompts_sha256"]:
            raise ConfigError(
                f"{run.path}: was made with other templates than {runs[0].path}, so its "
                "completions cannot be read by the same rules; merge runs of one --prompts"
            )
    avoid = [text for _, text in first.avoid]
    id_of = {composed(text): id for id, text in reversed(first.first_pool)}
    names: list[dict[str, str]] = []
    for inputs in all_inputs:
        renamed: dict[str, str] = {}
        for id, text in inputs.first_pool:
            same = composed(text)
            if same not in id_of:
                avoid.append(text)
                id_of[same] = ids.avoid(len(avoid))
            renamed[id] = id_of[same]
        names.append(renamed)
    files = {name: text for name, text in first.files.items() if not name.startswith("avoid")}
    files |= _descriptions_of_imports(all_inputs[1:], files)
    passages = {one.id: one for inputs in all_inputs for one in inputs.passages}
    if passages:
        files[PASSAGES_FILE] = passages_bytes(list(passages.values()))
    if avoid:
        lines = (json.dumps({"instruction": text}, ensure_ascii=False) + "\n" for text in avoid)
        files["avoid.jsonl"] = "".join(lines).encode()
    return parse_inputs(files, first.prompts), names


def _descriptions_of_imports(
    others: Sequence[Inputs], known: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return what later runs were imported from, under names that are free."""
    stem, _, suffix = IMPORT_FILE.partition(".")
    files: dict[str, bytes] = {}
    texts = [text for name, text in known.items() if name.startswith(stem)]
    for inputs in others:
        for name, text in inputs.files.items():
            if name.startswith(stem) and text not in texts:
                texts.append(text)
                files[f"{stem}_{len(texts)}.{suffix}"] = text
    return files
