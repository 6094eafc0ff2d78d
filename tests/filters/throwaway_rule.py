"""Add a rule that nobody has, and print as JSON where it shows. Run by test_rules.py.

A process of its own: the config's sections are made from the rules as the program starts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from selfinstruct.common import versions
from selfinstruct.filters import rules
from selfinstruct.filters.rule import Of, Rule, When, switch

BEFORE = versions.RULES_VERSION
versions.RULES_VERSION = BEFORE + 1
rules.RULES.insert(
    1,
    Rule(
        name="no_bees",
        of=Of.INSTRUCTION,
        when=When.TEXT,
        reason="speaks_of_bees",
        help="speaks of bees",
        limits=switch("no_bees", "rule: no bees"),
        section="rules",
        breaks=lambda facts, _: "bee" in facts.text.casefold(),
        since=BEFORE + 1,
    ),
)

import yaml  # noqa: E402

from scripts import make_docs  # noqa: E402
from selfinstruct.audit.rules import instruction_rules  # noqa: E402
from selfinstruct.common.progress import silent  # noqa: E402
from selfinstruct.common.records import Request  # noqa: E402
from selfinstruct.config.schema import RunConfig  # noqa: E402
from selfinstruct.engines.scripted import ScriptedEngine  # noqa: E402
from selfinstruct.generate.launch import launch  # noqa: E402
from selfinstruct.inputs.run_inputs import stored_config  # noqa: E402
from selfinstruct.store import Run, open_run  # noqa: E402
from selfinstruct.verdicts.replay import replay  # noqa: E402
from selfinstruct.verdicts.whatif import Thresholds, what_if  # noqa: E402


def script(request: Request) -> str:
    if request.stage == "classify":
        return "text"
    if request.stage == "instances":
        return "Output: Such a thing is best told slowly."
    place = request.id[:11]
    return f" Praise the bee of {place}.\n10. Describe the harbour of {place} at {request.seed}."


def generate(out: Path, model: Path, seeds: Path, **values: Any) -> Run:
    config: dict[str, Any] = {
        "model": {"name": str(model), "prompting": "base"},
        "seeds": str(seeds),
        "propose": {"per_round": 2},
        "stop": {"target": 3},
        "likelihood": {"quantile": None, "seed_bound": False},
        **values,
    }
    run, _ = launch(
        out,
        config,
        resume=False,
        make_engine=lambda *_: ScriptedEngine(script),
        listen=silent,
    )
    return run


def outcomes(run: Run) -> dict[str, str | None]:
    """What became of the first candidate of each kind, by the start of its text."""
    first: dict[str, str | None] = {}
    for row in run.instructions(0):
        first.setdefault(row.text[:14], row.reason)
    return first


def main() -> None:
    folder, model, seeds = map(Path, sys.argv[1:])
    run = generate(folder / "new", model, seeds)
    row = next(row for row in run.instructions(0) if "bee" in row.text)
    columns = {name: getattr(row, name) for name in row.__slots__}
    lines = instruction_rules(columns, RunConfig(), frozenset())
    looser = what_if(run, Thresholds(rouge=0.9))
    # As a run is that was made before there was such a rule: its config lacks the keys.
    old = generate(folder / "old", model, seeds, rules={"no_bees": False})
    meta = yaml.safe_load((old.path / "run.yaml").read_text(encoding="utf-8"))
    del meta["config"]["rules"]["no_bees"], meta["config"]["rules_version"], meta["sha256"]
    (old.path / "run.yaml").write_text(yaml.safe_dump(meta), encoding="utf-8")
    old = open_run(old.path)
    asked = generate(folder / "asked", model, seeds, rules_version=BEFORE, rules={"no_bees": True})
    found = {
        "config": RunConfig().model_dump()["rules"]["no_bees"],
        "docs": [
            "`rules.no_bees`" in make_docs.config_table(),
            "| `speaks_of_bees` | speaks of bees |" in make_docs.reasons_page(),
            "speaks_of_bees" in make_docs.rule_table(Of.INSTRUCTION),
        ],
        "version": run.meta["config"]["rules_version"],
        "new": outcomes(run),
        "audit": [line.held for line in lines if line.reason == "speaks_of_bees"],
        "replay": len(replay(run)),
        "whatif": looser.before["speaks_of_bees"] == looser.after["speaks_of_bees"] > 0,
        "old": outcomes(old),
        "old_value": stored_config(old).model_dump()["rules"]["no_bees"],
        "old_replay": len(replay(old)),
        "asked": outcomes(asked),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
