"""What an import is made from, and what its run records of that."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import yaml

from selfinstruct import __version__
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.config.schema import RunConfig, semantic_values
from selfinstruct.config.values import build_config, overlay
from selfinstruct.inputs.run_inputs import Inputs
from selfinstruct.inputs.table import Table, TableRow
from selfinstruct.inputs.task_plan import Mixture, Plan
from selfinstruct.inputs.task_templates import TaskTemplates

# Instances of an instruction that the rule on surplus ones never counts to.
NO_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class Import:
    """What is imported, and how.

    dataset: a file, a folder, or a name on the hub.
    templates: paths or names of shipped ones, each with `@WEIGHT` if wanted.
    columns: the dataset's name of a column, by the templates' name.
    constants: values of columns that the dataset lacks, the same in every row.
    inverted, rationale: shares of the mixture; None: as the template file says.
    max_instances: of an instruction; None: no limit.
    max_per_output: instances of an instruction with one output; None: no limit.
    values: other values of the config, nested.
    """

    dataset: str
    templates: Sequence[str]
    mixture: Mixture = field(default_factory=Mixture)
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    inverted: float | None = None
    rationale: float | None = None
    max_instances: int | None = None
    max_per_output: int | None = None
    skip_invalid: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def limits(self) -> dict[str, int | None]:
        """Limits on the instances of an instruction, by their names in the config.

        They are the import's own: those of the config are about what a model writes.
        """
        return {
            "max_per_instruction": self.max_instances or NO_LIMIT,
            "max_per_output": self.max_per_output,
        }


def check_import(what: Import) -> None:
    """Raise ConfigError for a number that is out of range."""
    mixture = what.mixture
    if not what.templates:
        raise ConfigError(
            "--template is missing; `selfinstruct import --list-templates` lists some"
        )
    for option, share in (("--inverted", what.inverted), ("--rationale", what.rationale)):
        if share is not None and not 0 <= share <= 1:
            raise ConfigError(f"{option} {share}: a share lies between 0 and 1")
    counts = {
        "--per-row": mixture.per_row,
        "--rows": mixture.rows,
        "--max-instances": what.max_instances,
        "--max-per-output": what.max_per_output,
    }
    for option, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"{option} {count}: give 1 or more, or leave it out")
    for number, weight in mixture.examples.items():
        if number < 0 or not 0 < weight < float("inf"):
            raise ConfigError(
                f"--examples {number}={weight:g}: a number of examples is 0 or more, and its "
                "weight above 0"
            )


def renamed(what: Import, table: Table) -> Table:
    """Return a table whose columns have the templates' names, with those of constant value.

    Raises:
        ConfigError: a column is not there, or is there already.
    """
    names, columns = table.columns, what.columns
    for own in what.constants:
        if own in names or own in columns:
            raise ConfigError(
                f"--value {own}: {table.name} has a column {own!r} already; leave the option out"
            )
    for own, theirs in columns.items():
        if theirs not in names:
            raise ConfigError(
                f"--columns {own}={theirs}: {table.name} has no column {theirs!r}; its columns "
                f"are {', '.join(names)}"
            )
    rows = [
        TableRow(
            row.id,
            row.where,
            {
                **row.columns,
                **{own: row.columns.get(theirs) for own, theirs in columns.items()},
                **what.constants,
            },
        )
        for row in table.rows
    ]
    return replace(table, rows=rows)


def check_names(templates: Sequence[TaskTemplates]) -> None:
    names = [one.content.name for one in templates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"--template: two files have the name {twice[0]!r}; rename one")


def import_config(what: Import, plan: Plan) -> RunConfig:
    own: dict[str, Any] = {
        "seed": what.mixture.seed,
        "stop": {"target": len(plan.tasks)},
    }
    return build_config(overlay(own, what.values), "arguments")


def description(what: Import, table: Table, templates: Sequence[TaskTemplates]) -> bytes:
    """Return the content of the run's `import.yaml`: all that its tasks follow from."""
    mixture = asdict(what.mixture)
    values = {
        "dataset": {"name": table.name, "sha256": table.digest, "rows": len(table.rows)},
        "columns": dict(what.columns),
        "constants": dict(what.constants),
        "mixture": {**mixture, "inverted": what.inverted, "rationale": what.rationale},
        "skip_invalid": what.skip_invalid,
        "limits": what.limits,
        "templates": [
            {"file": one.source, "weight": one.weight, "text": one.text} for one in templates
        ],
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode()


def import_meta(config: RunConfig, inputs: Inputs, table: Table) -> dict[str, Any]:
    return {
        "selfinstruct": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "fingerprint": fingerprint(semantic_values(config) | inputs.digests),
        "model": {
            "name": f"no model (imported from {table.name})",
            "digest": table.digest[:16],
            "prompting": {},
            "imported": table.name,
        },
        "inputs": inputs.digests,
        "packages": {},
        "config": config.model_dump(mode="json"),
    }
