"""What is kept of an open round: a resume asks for the rest alone, and the run is the same."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfinstruct.audit.repair import repair
from selfinstruct.audit.verify import verify_run
from selfinstruct.common.errors import EngineError
from selfinstruct.common.progress import Event, Stopped
from selfinstruct.common.records import Completion
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.store import Run, open_run
from selfinstruct.store.open_rounds import open_numbers, open_path, read_open
from selfinstruct.verdicts.replay import replay
from tests.generate.test_loop import contents

Generate = Callable[..., tuple[Run, str]]


class Counting(ScriptedEngine):
    """Notes the ids of what it returned, of all engines of a test."""

    returned: ClassVar[list[str]] = []

    def collect(self) -> list[Completion]:
        completions = super().collect()
        Counting.returned += [completion.id for completion in completions]
        return completions


@pytest.fixture(autouse=True)
def nothing_returned() -> None:
    Counting.returned = []


def counting(**options: Any) -> dict[str, Any]:
    return {"kind": Counting, **options}


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    deaths=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    shuffle=st.none() | st.integers(0, 3),
    sizes=st.sampled_from(["shrinking", "equal"]),
)
def test_no_completion_is_written_twice(
    tmp_path: Path, generate: Generate, deaths: list[int], shuffle: int | None, sizes: str
) -> None:
    values = {"propose__sizes": sizes, "stop__target": 20}
    whole = tmp_path / sizes
    if not whole.exists():
        generate(whole, **values)
    out = tmp_path / "killed"
    shutil.rmtree(out, ignore_errors=True)
    Counting.returned = []
    for death in [*deaths, None]:
        engine = counting(die_after=death, shuffle=shuffle)
        try:
            generate(out, resume=out.exists(), engine=engine, **values)
        except EngineError:
            continue
    run = open_run(out)
    assert contents(run) == contents(open_run(whole))
    # Seed tasks are scored before the first round; their scores are kept elsewhere.
    asked = Counter(id for id in Counting.returned if id.startswith("r0"))
    assert set(asked.values()) == {1}


def test_a_run_without_journals_goes_on_as_before(tmp_path: Path, generate: Generate) -> None:
    whole, _ = generate(tmp_path / "whole", stop__target=20)
    out = tmp_path / "run"
    with pytest.raises(EngineError):
        generate(out, stop__target=20, engine={"die_after": 60})
    numbers = open_numbers(out)
    assert numbers
    for number in numbers:
        open_path(out, number).unlink()
    resumed, _ = generate(out, resume=True, stop__target=20)
    assert contents(resumed) == contents(whole)
    assert replay(resumed) == []


def test_a_raised_target_takes_up_what_was_proposed_ahead(
    tmp_path: Path, generate: Generate
) -> None:
    out = tmp_path / "run"
    generate(out, stop__target=25, engine=counting())
    [number] = open_numbers(out)
    assert number == len(open_run(out).rounds())
    kept = read_open(open_path(out, number))
    assert kept.rows
    before = list(Counting.returned)
    run, reason = generate(out, resume=True, stop__target=40, engine=counting())
    assert reason == "target"
    assert not set(kept.rows) & set(Counting.returned[len(before) :])
    proposals = [c for c in run.completions(number) if c.id.endswith("-propose")]
    assert len(proposals) == kept.proposals == run.info(number)["proposals"]
    assert replay(run) == []


def test_nothing_is_left_of_a_round_that_is_committed(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=20, overlap=False)
    assert open_numbers(run.path) == []
    # A process that died right after a commit leaves a journal.
    shutil.copy(run.path / "run.yaml", open_path(run.path, 0))
    generate(run.path, resume=True)
    assert open_numbers(run.path) == []


def test_verify_and_repair_know_the_journal(tmp_path: Path, generate: Generate) -> None:
    whole, _ = generate(tmp_path / "whole", stop__target=20)
    out = tmp_path / "run"
    with pytest.raises(EngineError):
        generate(out, stop__target=20, engine={"die_after": 60})
    run = open_run(out)
    paths = [open_path(out, number) for number in open_numbers(out)]
    path = max(paths, key=lambda one: one.stat().st_size)
    torn = path.read_bytes()[:-30]
    assert torn.count(b"\n") >= 2
    path.write_bytes(torn)
    assert verify_run(run).problems == []
    changed = torn.replace(b'"id": "r', b'"id": "s', 1)
    path.write_bytes(changed)
    [problem] = verify_run(run).problems
    assert problem.path == path
    assert "is damaged; the run goes on without" in str(problem)
    done = repair(run)
    assert done.folder is not None
    assert (done.folder / "rounds" / path.name).read_bytes() == changed
    assert verify_run(run).problems == []
    resumed, _ = generate(out, resume=True, stop__target=20)
    assert contents(resumed) == contents(whole)


class Interrupted(ScriptedEngine):
    """Ctrl-C, after some completions."""

    events: ClassVar[list[Event]] = []
    told_before_it_was_closed = False

    def collect(self) -> list[Completion]:
        if len(self.requests) > 60:
            raise KeyboardInterrupt
        return super().collect()

    def close(self) -> None:
        Interrupted.told_before_it_was_closed = isinstance(Interrupted.events[-1], Stopped)


def test_an_interruption_says_exactly_what_is_kept(tmp_path: Path, generate: Generate) -> None:
    events = Interrupted.events
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        generate(out, stop__target=40, engine={"kind": Interrupted}, listen=events.append)
    [stopped] = [event for event in events if isinstance(event, Stopped)]
    # To end an engine takes a while: a step that is under way, or a process.
    assert Interrupted.told_before_it_was_closed
    run = open_run(out)
    assert stopped.rounds == len(run.rounds())
    assert stopped.tasks == sum(run.info(number)["tasks"] for number in run.rounds())
    assert stopped.target == 40
    kept = sum(len(read_open(open_path(out, number)).rows) for number in open_numbers(out))
    assert stopped.kept == kept > 0
    assert stopped.requests > kept
    status = run.status()
    assert (status["state"], status["reason"]) == ("stopped", "interrupted")
    assert (status["tasks"], status["target"]) == (stopped.tasks, 40)


class LastProposalLate(ScriptedEngine):
    """Returns the last proposal of each round after all else that it was asked."""

    def collect(self) -> list[Completion]:
        late = [request for request in self._waiting if request.id.endswith("p003-propose")]
        others = [request for request in self._waiting if request not in late]
        self._waiting.clear()
        self._waiting.extend([*others, *late])
        self._batch = max(1, len(others))
        return super().collect()


def order_of(engines: Sequence[ScriptedEngine]) -> list[str]:
    return [request.id for engine in engines for request in engine.requests]


def test_instances_are_asked_for_while_a_proposal_is_written(
    tmp_path: Path, generate: Generate
) -> None:
    made: list[LastProposalLate] = []

    def late(*arguments: Any, **options: Any) -> LastProposalLate:
        made.append(LastProposalLate(*arguments, **options))
        return made[-1]

    fixed = {"likelihood__quantile": None, "likelihood__seed_bound": False, "stop__target": 20}
    whole, _ = generate(tmp_path / "whole", **fixed)
    run, _ = generate(tmp_path / "run", engine={"kind": late}, overlap=False, **fixed)
    assert contents(run) == contents(whole)
    [info] = [open_run(run.path).completions(0)]
    asked = order_of(made)
    # Instances of the first proposals were asked for before those of the last one were known.
    of_last = next(n for n, id in enumerate(asked) if id.startswith("r00000-p003-i"))
    assert any("-instances" in id for id in asked[:of_last])
    assert info
