"""One candidate: neighbour, lineage, instances, and the prompt behind each."""

from __future__ import annotations

import pytest
from rouge_score import rouge_scorer

from selfinstruct.audit.candidate import Check, show_candidate
from selfinstruct.audit.search import Filter, candidates
from selfinstruct.common.errors import ConfigError
from selfinstruct.decisions.decide import drop, restore, undo
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.store import Run


def test_a_near_duplicate_and_its_neighbour(small: Run) -> None:
    row = next(candidates(small, Filter(reason="not_novel")))
    found = show_candidate(small, row["id"])
    near = found.neighbour
    assert near is not None
    seeds = {seed.pool_id: seed.instruction for seed in stored_inputs(small).seeds}
    assert (near.id, near.outcome) == (row["neighbour_id"], "seed")
    assert near.text == seeds[near.id]
    score = rouge_scorer.RougeScorer(["rougeL"]).score(near.text, row["text"])["rougeL"].fmeasure
    assert near.rouge_l == pytest.approx(score)
    assert 2 * len(near.marks) / (near.tokens + near.own_tokens) == pytest.approx(score)
    assert Check("rouge_l", near.rouge_l, 0.7, passed=False) in found.checks
    assert (found.outcome, found.table) == ("not_novel", "instructions")
    assert found.instances == []


def test_the_completions_of_an_accepted_instruction(small: Run) -> None:
    asked = {completion.id for completion in small.completions(0)}
    accepted = candidates(small, Filter(verdict="accepted"))
    row = next(row for row in accepted if f"{row['id']}-classify" in asked)
    found = show_candidate(small, row["id"])
    assert [one.id for one in found.asked] == [
        row["completion_id"],
        f"{row['id']}-classify",
        f"{row['id']}-instances",
    ]
    proposed = found.asked[0]
    recorded = {c.id: c for c in small.completions(row["round"])}[proposed.id]
    assert proposed.text[proposed.start : proposed.end] == row["raw_text"]
    assert (proposed.prompt, proposed.seed) == (recorded.prompt, recorded.request.seed)
    assert proposed.sampling == recorded.request.sampling.model_dump(mode="json")
    own = [one.id for one in small.instances(row["round"]) if one.instruction_id == row["id"]]
    assert [one["id"] for one in found.instances] == own
    assert all(check.passed is not False for check in found.checks)


def test_an_instance_and_its_instruction(small: Run) -> None:
    row = next(candidates(small, Filter("instances", reason="placeholder")))
    found = show_candidate(small, row["id"])
    assert found.table == "instances"
    assert found.instruction is not None
    assert found.instruction["id"] == row["instruction_id"]
    [asked] = found.asked
    assert asked.text[asked.start : asked.end].strip() == row["output"]
    assert Check("rule", None, None, passed=False) in found.checks
    assert found.neighbour is None


def test_parents_and_children(large: Run) -> None:
    rows = candidates(large, Filter(round=2))
    row = next(one for one in rows if any(id.startswith("r") for id in one["parents"]))
    found = show_candidate(large, row["id"])
    assert [one.id for one in found.parents] == list(row["parents"])
    texts = {one.id: one.text for n in (0, 1) for one in large.instructions(n)}
    texts |= {seed.pool_id: seed.instruction for seed in stored_inputs(large).seeds}
    assert [one.text for one in found.parents] == [texts[one.id] for one in found.parents]
    parent = next(one.id for one in found.parents if one.id.startswith("r"))
    above = show_candidate(large, parent, children=1000)
    rows = [one for n in large.rounds() for one in large.instructions(n) if parent in one.parents]
    assert above.children == [one.id for one in rows]
    assert row["id"] in above.children
    few = show_candidate(large, parent, children=1)
    assert (len(few.children), few.children_total) == (1, len(rows))


def test_what_people_decided(small: Run) -> None:
    row = next(candidates(small, Filter(verdict="accepted")))
    drop(small, row["id"], by="ann", note="dull")
    found = show_candidate(small, row["id"])
    assert (found.outcome, found.row["override"]) == ("dropped", "drop")
    undo(small, row["id"], by="bob")
    found = show_candidate(small, row["id"])
    assert (found.outcome, found.override) == ("accepted", None)
    assert [(one.by, one.note) for one in found.overrides] == [("ann", "dull"), ("bob", "")]
    other = next(candidates(small, Filter(reason="not_novel")))
    restore(small, other["id"], by="ann")
    assert show_candidate(small, other["id"]).outcome == "pending_instances"
    instance = next(candidates(small, Filter("instances", reason="over_target")))
    assert show_candidate(small, instance["id"]).outcome == "over_target"
    restore(small, instance["instruction_id"], by="ann")
    assert show_candidate(small, instance["id"]).outcome == "accepted"


def test_an_unknown_id_names_the_nearest(small: Run) -> None:
    with pytest.raises(ConfigError, match="no such candidate; the nearest is r00000-p000-i0"):
        show_candidate(small, "r00000-p000-i77")
    with pytest.raises(ConfigError, match="the nearest is r0"):
        show_candidate(small, "seed:seed_task_1")
