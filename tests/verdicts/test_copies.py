"""Copies through the loop: counted as candidates, replayed, judged again, and merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.audit.rules import instruction_rules
from selfinstruct.common.records import InstructionCandidate, Request, Stage
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, save_what_if, what_if

Generate = Callable[..., tuple[Run, str]]
LONG = "Describe the harbour of the old town at dawn"


def script(request: Request) -> str:
    """Copies the first task that the prompt shows, and later one with words glued to it."""
    if request.stage is Stage.CLASSIFY:
        return "text"
    if request.stage is Stage.INSTANCES:
        return "Output: The masts stand still, and the gulls are not awake yet."
    prompt = str(request.prompt)
    first = next(line for line in prompt.splitlines() if line.startswith("1. "))[3:]
    place = request.id[:11]
    number = request.reading.first_number
    own = LONG if request.id.startswith("r00000-p000") else f"Praise the {place} of {request.seed}"
    more = f"Write this down at once for {place}. {LONG}. Then sing of it for {request.seed} days."
    items = [f" {own}.", first, f"{first.rstrip('.?!')} in {place}", more]
    return "\n".join(f"{number + n}. {item}" if n else item for n, item in enumerate(items))


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return make(tmp_path / "run", generate)


def make(out: Path, generate: Generate, **values: object) -> Run:
    settings = {"propose__per_round": 3, "stop__target": 12, "stop__max_rounds": 5, **values}
    return generate(out, script, **settings)[0]


def rows(run: Run) -> list[InstructionCandidate]:
    return [row for number in run.rounds() for row in run.instructions(number)]


def test_copies_are_candidates_with_a_reason_of_their_own(run: Run) -> None:
    counts = Counter(row.reason for row in rows(run))
    proposals = sum(1 for n in run.rounds() for c in run.completions(n) if "propose" in c.id)
    assert counts["copies_prompt"] >= proposals  # the copy, and often the one with words glued on
    assert counts["holds_known"] > 0
    assert counts[None] > 0
    held = [row for row in rows(run) if row.reason == "holds_known"]
    texts = {row.id: row.text for row in rows(run)}
    assert {texts[row.neighbour_id] for row in held} == {f"{LONG}."}
    assert replay(run) == []
    assert what_if(run, Thresholds()).changes == []


def test_copies_of_generated_tasks_count_too(run: Run) -> None:
    last = run.rounds()[-1]
    copied = [row for row in run.instructions(last) if row.reason == "copies_prompt"]
    assert any(not parent.startswith("seed:") for row in copied for parent in row.parents)


def test_runs_of_version_2_know_no_copies(tmp_path: Path, generate: Generate) -> None:
    old = make(tmp_path / "old", generate, rules_version=2)
    assert not {row.reason for row in rows(old)} & {"copies_prompt", "holds_known"}
    assert replay(old) == []


def test_a_run_that_is_judged_again_knows_what_its_prompts_showed(
    run: Run, tmp_path: Path, generate: Generate
) -> None:
    """Also where the shown task is rejected now, so that the pool lacks it."""
    strict = save_what_if(run, Thresholds(rouge=0.05), tmp_path / "strict")
    copied = [row.id for row in rows(run) if row.reason == "copies_prompt"]
    again = {row.id: row.reason for row in rows(strict)}
    assert {again[id] for id in copied} == {"copies_prompt"}
    assert "not_novel" in again.values()
    assert replay(strict) == []
    both = merge([run, make(tmp_path / "other", generate, seed=1)], tmp_path / "both")
    assert replay(both) == []
    assert replay(merge([strict, both], tmp_path / "all")) == []


def test_a_run_that_grows_goes_on_alike(tmp_path: Path, generate: Generate) -> None:
    whole = make(tmp_path / "whole", generate)
    make(tmp_path / "grown", generate, stop__max_rounds=2)
    grown = make(tmp_path / "grown", generate, resume=True)
    assert replay(grown) == []
    assert [row.reason for row in rows(grown)] == [row.reason for row in rows(whole)]


def test_the_audit_names_the_rule(run: Run) -> None:
    config, lines = stored_config(run), stored_inputs(run).prompts.own_lines()
    asked = ("copies_prompt", "holds_known")
    for row in rows(open_run(run.path)):
        columns = {name: getattr(row, name) for name in row.__slots__}
        found = {line.reason: line.held for line in instruction_rules(columns, config, lines)}
        expected = {
            "copies_prompt": (False, None),
            "holds_known": (True, False),
            "not_novel": (True, None),
        }.get(columns["reason"], (True, True))
        assert tuple(found[reason] for reason in asked) == expected
