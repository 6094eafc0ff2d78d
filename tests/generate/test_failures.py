"""Requests that the engine fails on: asked again, no verdicts, counted; too many end the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import ACCEPTED, Completion, Request, Stage
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.complete import complete, pending
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, save_what_if
from tests.conftest import varied_script

Generate = Callable[..., tuple[Run, str]]
Fails = Callable[[Request, int], bool]


class Failing(ScriptedEngine):
    """Fails on requests; `fails` gets each request, and how often it failed before."""

    def __init__(self, script: Any, fails: Fails, **options: Any) -> None:
        super().__init__(script, **options)
        self._fails = fails
        self.failures: Counter[str] = Counter()

    def collect(self) -> list[Completion]:
        return [self._failed(completion) for completion in super().collect()]

    def _failed(self, completion: Completion) -> Completion:
        request = completion.request
        if not self._fails(request, self.failures[request.id]):
            return completion
        self.failures[request.id] += 1
        return Completion(request, "", (), None, (), (), "error", 9, error="server said 503")


def failing(fails: Fails, engines: list[Failing] | None = None) -> dict[str, Any]:
    def kind(script: Any, **options: Any) -> Failing:
        engine = Failing(script, fails, **options)
        if engines is not None:
            engines.append(engine)
        return engine

    return {"kind": kind}


def rows(run: Run) -> list[Any]:
    return [
        (c.id, c.text, c.error, c.request.seed)
        for number in run.rounds()
        for c in run.completions(number)
    ]


def test_a_request_that_fails_twice_is_asked_a_third_time(
    tmp_path: Path, generate: Generate
) -> None:
    sound, _ = generate(tmp_path / "sound")
    engines: list[Failing] = []
    shaky, reason = generate(
        tmp_path / "shaky", engine=failing(lambda _, before: before < 2, engines)
    )
    assert reason == "target"
    assert rows(shaky) == rows(sound)  # the same ids and seeds, so the same texts
    assert "failed_requests" not in shaky.status()
    assert set(engines[0].failures.values()) == {2}


def fails_on(stage: Stage, every: int) -> Fails:
    """Fail for good on one request of a stage in so many."""
    return lambda request, _: request.stage is stage and request.seed % every == 0


@pytest.mark.parametrize("stage", [Stage.CLASSIFY, Stage.INSTANCES])
def test_instances_that_cannot_be_asked_for_are_pending(
    tmp_path: Path, generate: Generate, stage: Stage
) -> None:
    run, _ = generate(
        tmp_path / "run",
        propose__per_round=12,
        engine=failing(fails_on(stage, 9 if stage is Stage.CLASSIFY else 40)),
        stop__target=90,
    )
    failed = [c for n in run.rounds() for c in run.completions(n) if c.error]
    assert failed
    assert {c.request.stage for c in failed} == {stage}
    # Questions about tasks of known kinds, to compare with, are about no instruction of the run.
    failed_own = [c for c in failed if "-k" not in c.request.about]
    about = {c.request.about for c in failed_own}
    assert about
    instructions = [row for n in run.rounds() for row in run.instructions(n)]
    assert {r.id for r in instructions if r.reason == "pending_instances"} == about
    instances = [row for n in run.rounds() for row in run.instances(n)]
    errors = [row for row in instances if row.reason == "engine_error"]
    assert {row.instruction_id for row in errors} == about
    assert {row.completion_id for row in errors} == {c.id for c in failed_own}
    assert not any(row.reason == "parse_failure" and row.instruction_id in about for row in errors)
    assert replay(run) == []
    # It is counted, and said.
    counts = Counter(info["failed"].get(stage, 0) for info in infos(run) if "failed" in info)
    assert sum(n * times for n, times in counts.items()) == len(failed)
    assert run.status()["failed_requests"] == len(failed)
    assert summarise(run).failed_requests == {str(stage): len(failed)}
    # A sound engine completes it.
    assert {row.id for row in pending(run)} == about
    before = summarise(run).tasks
    done = finish(run, ScriptedEngine(varied_script))
    assert (done.owed, done.failed) == (len(about), 0)
    assert summarise(run).tasks == before + done.tasks
    assert pending(run) == []
    assert replay(run) == []


def infos(run: Run) -> list[dict[str, Any]]:
    return [run.info(number) for number in run.rounds()]


def finish(run: Run, engine: ScriptedEngine) -> Any:
    return complete(
        open_run(run.path),
        make_engine=lambda *_: engine,
        model_progress=lambda *_: None,
        advance=lambda *_: None,
    )


def test_what_fails_again_in_complete_still_waits(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(
        tmp_path / "run",
        propose__per_round=12,
        engine=failing(fails_on(Stage.INSTANCES, 40)),
        stop__target=90,
    )
    owed = [row.id for row in pending(run)]
    assert len(owed) > 1
    one = Failing(varied_script, lambda request, _: request.about == owed[0])
    done = finish(run, one)
    assert (done.owed, done.failed) == (len(owed), 1)
    assert [row.id for row in pending(run)] == owed[:1]
    assert replay(run) == []


def test_complete_stops_where_the_engine_fails_on_everything(
    tmp_path: Path, generate: Generate
) -> None:
    strict, _ = generate(tmp_path / "strict", stop__target=25, novelty__threshold=0.3)
    run = save_what_if(strict, Thresholds(rouge=0.6), tmp_path / "again")
    owed = len(pending(run))
    with pytest.raises(EngineError, match="this batch of instructions: "):
        finish(run, Failing(varied_script, lambda *_: True))
    assert len(pending(run)) == owed


def test_a_proposal_that_fails_gives_no_candidate(tmp_path: Path, generate: Generate) -> None:
    def fails(request: Request, before: int) -> bool:
        return request.id in ("r00000-p003-propose", "r00000-p007-propose")

    run, _ = generate(
        tmp_path / "run",
        propose__per_round=40,
        propose__sizes="equal",
        stop__max_rounds=1,
        engine=failing(fails),
    )
    [info] = infos(run)
    assert info["failed"] == {"propose": 2}
    numbers = {row.id[:11] for row in run.instructions(0)}
    assert len(numbers) == 38
    assert not {"r00000-p003", "r00000-p007"} & numbers
    assert replay(run) == []


def test_too_many_failures_stop_the_run_and_it_can_be_resumed(
    tmp_path: Path, generate: Generate
) -> None:
    sound, _ = generate(tmp_path / "sound", stop__target=30)
    second = lambda request, _: request.id.startswith("r00001") and request.seed % 3 == 0  # noqa: E731
    with pytest.raises(
        EngineError, match=r"round 1: \d+ of \d+ requests failed 3 times each, such"
    ):
        generate(tmp_path / "run", stop__target=30, engine=failing(second))
    run = open_run(tmp_path / "run")
    assert run.rounds() == [0]
    assert run.status()["state"] == "failed"
    resumed, reason = generate(run.path, resume=True, stop__target=30)
    assert reason == "target"
    assert rows(resumed) == rows(sound)


@pytest.mark.parametrize("per_round", [1, 4])
def test_an_engine_that_fails_on_everything_ends_the_run(
    tmp_path: Path, generate: Generate, per_round: int
) -> None:
    with pytest.raises(EngineError, match="server said 503; nothing of it is committed"):
        generate(tmp_path / "run", propose__per_round=per_round, engine=failing(lambda *_: True))
    assert open_run(tmp_path / "run").rounds() == []


def test_older_runs_take_a_failure_for_an_empty_completion(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(
        tmp_path / "run",
        rules_version=2,
        propose__per_round=12,
        stop__max_rounds=1,
        engine=failing(lambda request, _: request.id.startswith("r00000-p003")),
    )
    rejected = [row for row in run.instructions(0) if row.reason == "parse_failure"]
    failed = {c.id for c in run.completions(0) if c.error}
    assert failed & {row.completion_id for row in rejected}
    assert not any(row.reason == "engine_error" for row in run.instances(0))
    assert replay(run) == []


def test_what_if_and_summary_of_a_run_with_failures(
    tmp_path: Path, generate: Generate, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = generate(
        tmp_path / "run",
        propose__per_round=12,
        engine=failing(fails_on(Stage.INSTANCES, 40)),
        stop__target=90,
    )
    looser = save_what_if(run, Thresholds(rouge=0.9), tmp_path / "looser")
    assert replay(looser) == []
    owed = {row.id for row in pending(run)}
    assert owed <= {row.id for row in pending(looser)}
    capsys.readouterr()
    assert cli(["audit", "summary", str(run.path)]) == 0
    assert "requests that failed for good: " in capsys.readouterr().out
    assert cli(["audit", "summary", str(run.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["failed_requests"]["instances"] == len(owed)
    assert found["instructions"][ACCEPTED] > 0
