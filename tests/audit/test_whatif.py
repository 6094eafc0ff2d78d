"""What-if judges the recorded candidates again, in order, and says what changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfinstruct.audit.whatif import PENDING, Thresholds, what_if
from selfinstruct.cli.app import run as cli
from selfinstruct.errors import ConfigError
from selfinstruct.records import ACCEPTED, Reason, Request, Stage
from selfinstruct.store import Run, open_run

Generate = Callable[..., tuple[Run, str]]

# ROUGE-L of each with the one before it: 0.75 (6 of 8 words), and of the third with the
# first 0.5; of the fourth with all others 0.
CHAIN = [
    "Name the red bird over that old barn.",
    "Name the red bird over that new fence.",
    "Name the red bird near this new fence.",
    "Invent proverbs concerning seven quiet islands.",
]


def chain(request: Request) -> str:
    if request.stage is Stage.PROPOSE:
        if request.id != "r00000-p000-propose":
            return ""
        first = len(request.parents) + 1
        rest = (f"{first + place}. {text}" for place, text in enumerate(CHAIN[1:], start=1))
        return f" {CHAIN[0]}\n" + "\n".join(rest)
    return " text" if request.stage is Stage.CLASSIFY else "Output: It is a robin."


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(
        tmp_path / "run", chain, stop__max_rounds=1, stop__target=9, propose__per_round=1
    )[0]


def outcomes(run: Run) -> list[str]:
    return [str(row.reason or row.verdict) for row in run.instructions(0)]


def test_the_threshold_of_the_run_changes_nothing(run: Run) -> None:
    assert outcomes(run) == [ACCEPTED, Reason.NOT_NOVEL, ACCEPTED, ACCEPTED]
    found = what_if(run, Thresholds(rouge=0.7))
    assert found.before == found.after
    assert list(found.changes) == []


def test_a_higher_threshold_lets_one_in_that_has_no_instances(run: Run) -> None:
    # The second passes at 0.76; the third, 6 of 8 words with it, stays.
    found = what_if(run, Thresholds(rouge=0.76))
    assert [(one.id, one.before, one.after) for one in found.changes] == [
        ("r00000-p000-i01", Reason.NOT_NOVEL, PENDING)
    ]


def test_a_lower_threshold_lets_one_back_in_whose_blocker_fell(
    tmp_path: Path, generate: Generate
) -> None:
    # At 0.76 all pass. At 0.7 the second falls, and the third, which it would have
    # blocked, stays in.
    run, _ = generate(
        tmp_path / "run",
        chain,
        stop__max_rounds=1,
        stop__target=9,
        propose__per_round=1,
        novelty__threshold=0.76,
    )
    assert outcomes(run) == [ACCEPTED] * 4
    found = what_if(run, Thresholds(rouge=0.7))
    assert [(one.id, one.after, one.neighbour_id) for one in found.changes] == [
        ("r00000-p000-i01", Reason.NOT_NOVEL, "r00000-p000-i00")
    ]
    # At 0.45 the third falls with it, to the first.
    found = what_if(run, Thresholds(rouge=0.45))
    assert [one.id for one in found.changes] == ["r00000-p000-i01", "r00000-p000-i02"]
    assert found.changes[1].neighbour_id == "r00000-p000-i00"
    assert found.after == {ACCEPTED: 2, Reason.NOT_NOVEL: 2}


def test_tasks_beyond_the_target_move_up(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=20)
    recorded = [row for number in run.rounds() for row in run.instructions(number)]
    assert any(row.reason is Reason.OVER_TARGET for row in recorded)
    found = what_if(run, Thresholds(rouge=0.3))
    moved = [one for one in found.changes if one.before == Reason.OVER_TARGET]
    assert any(one.after == ACCEPTED for one in moved)
    assert found.after[ACCEPTED] <= 20
    assert sum(found.after.values()) == sum(found.before.values()) == len(recorded)


def test_a_threshold_out_of_range(run: Run) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        what_if(run, Thresholds(rouge=1.5))


def test_the_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["audit", "whatif", str(run.path), "--rouge", "0.76", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["changed"] == 1
    assert data["ids"] == ["r00000-p000-i01"]
    assert data["accepted"] == 3
    assert data[PENDING] == 1
    assert data["rejected"] == {}


def test_the_command_for_people(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli(["audit", "whatif", str(run.path), "--rouge", "0.76"]) == 0
    text = capfd.readouterr().out
    assert "1 candidate changes" in text
    assert cli(["audit", "whatif", str(run.path), "--rouge", "0.7"]) == 0
    assert "no candidate changes" in capfd.readouterr().out


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(targets=st.lists(st.integers(1, 25), min_size=1, max_size=4, unique=True).map(sorted))
@example(targets=[1, 2])
def test_the_own_threshold_changes_nothing_however_a_run_grew(
    tmp_path: Path, generate: Generate, targets: list[int]
) -> None:
    out = tmp_path / "-".join(map(str, targets))
    for target in targets:
        generate(out, resume=out.exists(), stop__target=target)
    found = what_if(open_run(out), Thresholds(rouge=0.7))
    assert list(found.changes) == []
