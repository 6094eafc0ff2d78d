"""What-if judges the recorded candidates again, in order, and says what changes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED, Request, Stage
from selfinstruct.dataset.card import dataset_card
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run, open_run
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.pool import PoolKeeper
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.rounds import verdicts_of_round
from selfinstruct.verdicts.rulebook import Rulebook
from selfinstruct.verdicts.whatif import PENDING, Thresholds, config_with, save_what_if, what_if
from tests.recommit import forget_seals

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
    assert outcomes(run) == [ACCEPTED, "not_novel", ACCEPTED, ACCEPTED]
    found = what_if(run, Thresholds(rouge=0.7))
    assert found.before == found.after
    assert list(found.changes) == []


def test_a_higher_threshold_lets_one_in_that_has_no_instances(run: Run) -> None:
    # The second passes at 0.76; the third, 6 of 8 words with it, stays.
    found = what_if(run, Thresholds(rouge=0.76))
    assert [(one.id, one.before, one.after) for one in found.changes] == [
        ("r00000-p000-i01", "not_novel", PENDING)
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
        ("r00000-p000-i01", "not_novel", "r00000-p000-i00")
    ]
    # At 0.45 the third falls with it, to the first.
    found = what_if(run, Thresholds(rouge=0.45))
    assert [one.id for one in found.changes] == ["r00000-p000-i01", "r00000-p000-i02"]
    assert found.changes[1].neighbour_id == "r00000-p000-i00"
    assert found.after == {ACCEPTED: 2, "not_novel": 2}


def test_tasks_beyond_the_target_move_up(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=20, seed=2)
    recorded = [row for number in run.rounds() for row in run.instructions(number)]
    assert any(row.reason == "over_target" for row in recorded)
    found = what_if(run, Thresholds(rouge=0.3))
    moved = [one for one in found.changes if one.before == "over_target"]
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
    assert "1 instruction changes" in text
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
    for own in (Thresholds(), Thresholds(rouge=0.7, quantile=0.05)):
        found = what_if(open_run(out), own)
        assert list(found.changes) == []
        assert list(found.instance_changes) == []


WANTED = st.builds(
    Thresholds,
    rouge=st.none() | st.sampled_from([0.2, 0.5, 0.7, 0.8, 1.0]),
    min_logprob=st.sampled_from([None, None, -2.2, -1.9, -1.0]),
    max_logprob=st.sampled_from([None, -1.5]),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=WANTED | st.builds(Thresholds, quantile=st.floats(0.01, 0.6)), again=st.booleans())
def test_it_equals_a_fresh_judgement_of_the_same_completions(
    tmp_path: Path, generate: Generate, wanted: Thresholds, again: bool
) -> None:
    out = tmp_path / ("again" if again else "run")
    if not (tmp_path / "run").exists():
        first = {"likelihood__quantile": 0.2, "likelihood__calibration": 20}
        run, _ = generate(tmp_path / "run", stop__target=40, **first)
        # Judged again strictly: instances whose instruction fell are still there.
        save_what_if(run, Thresholds(rouge=0.3, quantile=0.4), tmp_path / "again")
    run = open_run(out)
    found = what_if(run, wanted)
    config, inputs = config_with(stored_config(run), wanted), stored_inputs(run)
    keeper = PoolKeeper(inputs.first_pool, config, calibration_starts(run))
    fresh: dict[str, str] = {}
    recorded: dict[str, str] = {}
    fresh_instances: Counter[str] = Counter()
    tasks = 0
    for number in run.rounds():
        room = run.info(number)["target"] - tasks
        completions = run.completions(number)
        standards = keeper.standards
        judged = verdicts_of_round(
            completions, number, Rulebook(config, inputs.prompts), standards, room=room
        )
        keeper.close_round(judged.instructions)
        tasks += judged.tasks
        fresh_instances.update(str(row.reason or row.verdict) for row in judged.instances)
        fresh |= {row.id: str(row.reason or row.verdict) for row in judged.instructions}
        recorded |= {row.id: str(row.reason or row.verdict) for row in run.instructions(number)}
    changed = {id for id, outcome in fresh.items() if outcome != recorded[id]}
    assert {one.id for one in found.changes} == changed
    assert found.after == Counter(fresh.values())
    assert found.instances_after == fresh_instances


def test_a_stricter_likelihood(run: Run) -> None:
    scores = sorted(row.mean_logprob for row in run.instructions(0))
    between = (scores[0] + scores[1]) / 2
    least = min(run.instructions(0), key=lambda row: row.mean_logprob)
    found = what_if(run, Thresholds(min_logprob=between))
    change = {one.id: one for one in found.changes}[least.id]
    assert change.after == "low_likelihood"
    assert change.mean_logprob == least.mean_logprob


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Thresholds(min_logprob=0.5), "--min-logprob 0.5: a log-probability is at most 0"),
        (Thresholds(max_logprob=1.0), "--max-logprob 1.0"),
        (Thresholds(quantile=1.0), "--quantile 1.0: a share lies between 0 and 1"),
        (Thresholds(quantile=0.1, min_logprob=-2.0), "give one of them"),
    ],
)
def test_likelihood_thresholds_that_make_no_sense(
    run: Run, wanted: Thresholds, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        what_if(run, wanted)


def test_the_command_writes_a_run_of_its_own(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "looser"
    arguments = ["audit", "whatif", str(run.path), "--rouge", "0.76", "--out", str(out)]
    assert cli(arguments) == 0
    captured = capfd.readouterr()
    assert f"selfinstruct complete {out}" in captured.out + captured.err
    written = open_run(out)
    assert outcomes(written) == [ACCEPTED, PENDING, ACCEPTED, ACCEPTED]
    assert written.meta["config"]["novelty"]["threshold"] == 0.76
    assert written.meta["judged_from"][0]["run"] == str(run.path)
    assert replay(written) == []
    assert what_if(written, Thresholds()).changes == []
    # Back again, from the run that was written.
    assert what_if(written, Thresholds(rouge=0.7)).after == what_if(run, Thresholds()).after
    assert cli(arguments) == 2  # it is there already
    assert "is there already" in capfd.readouterr().err


def test_nothing_is_dropped_when_a_run_is_judged_again_and_back(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run", stop__target=20, seed=1)
    strict = save_what_if(run, Thresholds(rouge=0.2, min_logprob=-1.9), tmp_path / "strict")
    assert summarise(strict).tasks < 20
    for number in run.rounds():
        kept = {row.id for row in strict.instances(number)}
        assert kept >= {row.id for row in run.instances(number)}
    back = save_what_if(strict, Thresholds(rouge=0.7, quantile=0.05), tmp_path / "back")
    for one in (strict, back):
        assert replay(one) == []
        assert what_if(one, Thresholds()).changes == []
        assert what_if(one, Thresholds()).instance_changes == []
    assert [row.id for row in export_rows(back)] == [row.id for row in export_rows(run)]
    grown, _ = generate(tmp_path / "back", resume=True, stop__target=25)
    assert summarise(grown).tasks == 25
    assert replay(grown) == []


def test_who_wrote_it_stays_known(tmp_path: Path, generate: Generate) -> None:
    first, _ = generate(tmp_path / "a")
    second, _ = generate(tmp_path / "b", seed=1)
    file = second.path / "run.yaml"
    digest = f"digest: {second.meta['model']['digest']}"
    file.write_text(file.read_text().replace(digest, "digest: b"))
    forget_seals(second.path)
    merged = merge([first, open_run(second.path)], tmp_path / "both")
    again = save_what_if(merged, Thresholds(rouge=0.5), tmp_path / "again")
    third, _ = generate(tmp_path / "c", seed=2)
    for run in (merged, again, merge([again, third], tmp_path / "all")):
        digests = {one["model"]["digest"] for one in run.meta["merged_from"]}
        assert digests >= {"b", first.meta["model"]["digest"]}
        assert "digest `b`" in dataset_card(run, Format.ALPACA, Answers.OWN)
        assert replay(run) == []
