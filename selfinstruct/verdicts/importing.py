"""Import the rows of a dataset as a run: tasks by templates, judged like proposals.

A run is committed in parts of whole instructions. An import that was cut off continues behind the
last of them: the tasks are planned again from the same data, templates and mixture, and those that
are committed are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.run_inputs import (
    IMPORT_FILE,
    Inputs,
    import_inputs,
    stored_config,
    stored_inputs,
)
from selfinstruct.inputs.table import read_table
from selfinstruct.inputs.task_forms import forms_of
from selfinstruct.inputs.task_plan import Plan, PlannedTask, plan_tasks
from selfinstruct.inputs.task_templates import read_templates
from selfinstruct.store import RoundData, Run, create_run, open_run, run_exists, run_lock
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.commits import count_commits
from selfinstruct.verdicts.counts import counted
from selfinstruct.verdicts.import_request import (
    Import,
    check_import,
    check_names,
    description,
    import_config,
    import_meta,
    renamed,
)
from selfinstruct.verdicts.imported import (
    import_rulebook,
    planned_candidates,
    verdicts_of_import,
)
from selfinstruct.verdicts.pool import PoolKeeper
from selfinstruct.verdicts.rounds import Verdicts
from selfinstruct.verdicts.rulebook import Rulebook

# Instances of a commit: an interruption costs no more work than these.
PER_COMMIT = 10_000
IMPORTED = "imported"


@dataclass(frozen=True)
class Imported:
    """The run, and the rows of the dataset that were left out, by reason."""

    run: Run
    skipped: Mapping[str, int]


def import_dataset(
    what: Import,
    out: Path,
    *,
    resume: bool = False,
    advance: Callable[[int, int], object] = lambda _done, _total: None,
    per_commit: int = PER_COMMIT,
) -> Imported:
    """Make a run of the rows of a dataset.

    Args:
        what: the dataset, the templates, and how they are mixed.
        out: the run's folder.
        resume: continue an import that was cut off; start it if there is none.
        advance: called with the committed instances and all of them.
        per_commit: instances of a commit, at least, unless it is the last.

    Raises:
        ConfigError: dataset, templates or an option is wrong; nothing was written.
        StoreError: the run in `out` is damaged.
        WriteError: the disk refuses; what was committed is safe.
    """
    check_import(what)
    existing = open_run(out) if run_exists(out) else None
    if existing is not None and not resume:
        raise ConfigError(
            f"{out}: is a run already; --resume continues an import, another --out starts a new run"
        )
    table = renamed(what, read_table(what.dataset, skip_invalid=what.skip_invalid))
    templates = [read_templates(name) for name in what.templates]
    check_names(templates)
    forms = [form for one in templates for form in forms_of(one, what.inverted, what.rationale)]
    plan = plan_tasks(table, forms, what.mixture, skip_invalid=what.skip_invalid)
    if not plan.tasks:
        raise ConfigError(f"{what.dataset}: no row can be used by these templates; check both")
    config = import_config(what, plan)
    inputs = import_inputs(config, description(what, table, templates))
    meta = import_meta(config, inputs, table)
    if existing is not None:
        _refuse_changes(existing, meta, inputs)
    with run_lock(out):
        if existing is None and run_exists(out):
            raise ConfigError(f"{out}: another process has just made this run; use --resume")
        run = existing or create_run(out, meta, inputs.as_stored())
        _write(run, plan, what, advance, per_commit)
    return Imported(run, table.skipped + plan.skipped)


def _write(
    run: Run,
    plan: Plan,
    what: Import,
    advance: Callable[[int, int], object],
    per_commit: int,
) -> None:
    """Commit the tasks that are not committed yet, part by part."""
    run.discard_torn()
    run.verify()
    count_commits(run)
    config, inputs = stored_config(run), stored_inputs(run)
    rulebook = import_rulebook(Rulebook(config, inputs.prompts), what.limits)
    keeper = PoolKeeper(inputs.first_pool, config, calibration_starts(run))
    done = tasks = 0
    for number in run.rounds():
        instructions, instances = run.instructions(number), run.instances(number)
        keeper.standards.take_in(number, instructions, instances)
        keeper.close_round(instructions)
        done += len(instructions)
        tasks += run.info(number)["tasks"]
    run.write_status("running", tasks=tasks, target=len(plan.tasks), rounds=len(run.rounds()))
    total = sum(len(task.instances) for task in plan.tasks)
    written = sum(len(task.instances) for task in plan.tasks[:done])
    advance(written, total)
    try:
        for part in _parts(plan.tasks[done:], per_commit):
            started = time.perf_counter()
            number = len(run.rounds())
            planned = planned_candidates(part, number)
            room = len(plan.tasks) - tasks
            verdicts = verdicts_of_import(planned, number, rulebook, keeper.standards, room=room)
            keeper.close_round(verdicts.instructions)
            tasks += verdicts.tasks
            written += len(verdicts.instances)
            seconds = time.perf_counter() - started
            info = {
                **_info(number, len(plan.tasks), verdicts, what.limits, seconds),
                "dataset": run.meta["model"][IMPORTED],
            }
            rows = (verdicts.instructions, verdicts.instances)
            run.commit(RoundData(number, (), *rows, info, imported=True))
            advance(written, total)
    except KeyboardInterrupt:
        run.write_status("stopped", reason="interrupted")
        raise
    rounds = len(run.rounds())
    run.write_status("stopped", reason=IMPORTED, tasks=tasks, target=len(plan.tasks), rounds=rounds)


def _parts(tasks: Sequence[PlannedTask], per_commit: int) -> Iterator[list[PlannedTask]]:
    """Yield runs of tasks with at least so many instances; the last may have fewer."""
    part: list[PlannedTask] = []
    size = 0
    for task in tasks:
        part.append(task)
        size += max(1, len(task.instances))
        if size >= per_commit:
            yield part
            part, size = [], 0
    if part:
        yield part


def _info(
    number: int, target: int, verdicts: Verdicts, limits: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    return {
        "round": number,
        "target": target,
        **counted(verdicts),
        "yield": verdicts.tasks / len(verdicts.instructions),
        "tokens": {"prompt": 0, "generated": 0},
        "seconds": round(seconds, 3),
        "engine_idle_share": 0.0,
        "likelihood": {},
        **limits,
    }


def _refuse_changes(run: Run, meta: Mapping[str, Any], inputs: Inputs) -> None:
    """Refuse to continue an import with other data, templates or options."""
    if run.has_model:
        raise ConfigError(f"{run.path}: is a run of a model; give another --out, and merge the two")
    if run.meta["fingerprint"] == meta["fingerprint"]:
        return
    before = yaml.safe_load(stored_inputs(run).files[IMPORT_FILE])
    now = yaml.safe_load(inputs.files[IMPORT_FILE])
    changed = [key for key in now if now[key] != before.get(key)] or ["config"]
    raise ConfigError(
        f"{run.path}: was begun with other {', '.join(changed)}; give the same to continue, or "
        "another --out"
    )
