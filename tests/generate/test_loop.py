"""The loop on scripted completions: what is accepted, when it stops, and what a crash costs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.progress import Event, RoundCommitted
from selfinstruct.common.records import ACCEPTED, REJECTED, Request, Stage
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.store import Run

Generate = Callable[..., tuple[Run, str]]


def contents(run: Run) -> list[Any]:
    """Everything that a run decided and recorded, round by round."""
    return [
        (
            [(c.id, c.text, c.prompt, c.request.seed) for c in run.completions(number)],
            [repr(row) for row in run.instructions(number)],
            [repr(row) for row in run.instances(number)],
        )
        for number in run.rounds()
    ]


def dataset(run: Run) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.jsonl"
        export(run, Format.ALPACA, path)
        return path.read_bytes()


def test_stops_at_exactly_the_target(tmp_path: Path, generate: Generate) -> None:
    run, reason = generate(tmp_path / "run", stop__target=10)
    rows = [row for n in run.rounds() for row in run.instructions(n)]
    accepted = [row for row in rows if row.verdict == ACCEPTED]
    assert reason == "target"
    assert len(accepted) == 10
    assert run.status()["reason"] == "target"
    good = {r.instruction_id for n in run.rounds() for r in run.instances(n) if not r.reason}
    assert {row.id for row in accepted} <= good


def test_every_candidate_has_a_verdict_and_every_reject_a_reason(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run", stop__target=80, seed=1)
    seen: Counter[str] = Counter()
    for number in run.rounds():
        for row in [*run.instructions(number), *run.instances(number)]:
            assert row.verdict in (ACCEPTED, REJECTED)
            assert (row.reason is None) == (row.verdict == ACCEPTED)
            seen[str(row.reason)] += 1
    # The script misbehaves in each of these ways.
    for reason in (
        "parse_failure",
        "truncated",
        "unsuitable_keyword",
        "not_novel",
        "placeholder",
        "no_instances",
    ):
        assert seen[reason], f"no candidate was rejected as {reason}"


def test_counts_of_a_round_add_up(tmp_path: Path, generate: Generate) -> None:
    events: list[Event] = []
    run, _ = generate(tmp_path / "run", listen=events.append)
    for number in run.rounds():
        info = run.info(number)
        assert sum(info["instructions"].values()) == len(run.instructions(number))
        assert sum(info["instances"].values()) == len(run.instances(number))
        assert info["tasks"] == info["instructions"][ACCEPTED]
        assert 0 <= info["engine_idle_share"] <= 1
    committed = [event for event in events if isinstance(event, RoundCommitted)]
    assert [event.round for event in committed] == run.rounds()


def test_surplus_is_over_target_and_keeps_its_scores(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=2)
    surplus = [r for r in run.instructions(0) if r.reason == "over_target"]
    assert surplus
    assert all(row.num_tokens > 0 and row.mean_logprob < 0 for row in surplus)
    ids = {row.id for row in surplus}
    own = [row for row in run.instances(0) if row.instruction_id in ids]
    assert all(row.verdict == REJECTED for row in own)


def test_proposals_show_six_seeds_and_two_tasks_of_two_rounds_before(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run", stop__target=30)
    for number in run.rounds():
        proposals = [c for c in run.completions(number) if c.request.stage is Stage.PROPOSE]
        for completion in proposals:
            parents = completion.request.parents
            written = [parent for parent in parents if not parent.startswith("seed:")]
            assert len(parents) == len(set(parents)) == 8
            assert len(written) == (0 if number < 2 else 2)
            assert all(int(parent[1:6]) <= number - 2 for parent in written)


def test_five_seeds_without_classification_are_enough(tmp_path: Path, generate: Generate) -> None:
    from tests.conftest import make_seed, write_seeds

    seeds = [make_seed(i, is_classification=None) for i in range(5)]
    few = write_seeds(tmp_path / "five.jsonl", seeds)
    prompts: dict[str, str] = {}

    def script(request: Request) -> str | tuple[str, str]:
        from tests.conftest import varied_script

        prompts.setdefault(request.template, request.prompt)
        if request.about == "r00000-p000":
            return " Is the customer review about the lamp happy or sad?"
        return varied_script(request)

    _, reason = generate(tmp_path / "run", script, seeds=str(few), stop__target=20)
    assert reason == "target"
    # The few-shot parts fall back to the shipped exemplars, of both kinds.
    assert prompts["classify.base.jinja"].count("Answer: label") == 4
    assert "Label: negative" in prompts["output_first.base.jinja"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"stop__max_rounds": 2, "stop__target": 1000}, "max_rounds"),
        ({"stop__max_tokens": 50, "stop__target": 1000}, "max_tokens"),
        ({"stop__min_yield": 1.0, "stop__yield_rounds": 1, "stop__target": 1000}, "min_yield"),
    ],
)
def test_stop_reasons(
    tmp_path: Path, generate: Generate, values: dict[str, Any], expected: str
) -> None:
    run, reason = generate(tmp_path / "run", **values)
    assert reason == expected
    assert run.status()["reason"] == expected


def test_a_model_that_repeats_itself_ends_the_run(tmp_path: Path, generate: Generate) -> None:
    run, reason = generate(
        tmp_path / "run", lambda request: " Tell a story about the sea and the moon."
    )
    assert reason == "min_yield"
    assert len(run.rounds()) == 3


def test_neither_order_nor_overlap_changes_a_run(tmp_path: Path, generate: Generate) -> None:
    plain, _ = generate(tmp_path / "plain", stop__target=30)
    mixed, _ = generate(
        tmp_path / "mixed", stop__target=30, engine={"shuffle": 1, "batch": 3}, overlap=True
    )
    serial, _ = generate(tmp_path / "serial", stop__target=30, overlap=False)
    assert contents(plain) == contents(mixed) == contents(serial)


def test_too_short_a_context_is_refused_before_anything_is_written(
    tmp_path: Path, generate: Generate
) -> None:
    out = tmp_path / "deep" / "run"
    with pytest.raises(ConfigError, match="context of 300 tokens is too short"):
        generate(out, engine={"context_length": 300})
    assert not (tmp_path / "deep").exists()


def test_near_duplicate_seeds_are_a_warning(
    tmp_path: Path, generate: Generate, caplog: pytest.LogCaptureFixture
) -> None:
    from tests.conftest import make_seed, write_seeds

    same = make_seed(1)["instruction"]
    seeds = [make_seed(1), make_seed(2, instruction=same), *(make_seed(i) for i in range(3, 9))]
    path = write_seeds(tmp_path / "twins.jsonl", seeds)
    generate(tmp_path / "run", seeds=str(path))
    assert "'seed_task_1' and 'seed_task_2' are near-duplicates" in caplog.text
