"""Every flow keeps its engine busy between commits, and its content hangs on nothing else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import Request, Stage
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate import verdicts
from selfinstruct.evaluate.verdicts import judge_duels
from selfinstruct.generate.answer import answer
from selfinstruct.generate.complete import complete
from selfinstruct.generate.converse import converse
from selfinstruct.labellers.base import ScoredAnswer, TaskPrompt, VoteStore
from selfinstruct.labellers.duels import TEMPLATE, Duel
from selfinstruct.labellers.judge import Question, judge_answers
from selfinstruct.preferences import folder, sample
from selfinstruct.preferences.sample import SampleSettings, sample_answers
from selfinstruct.store import open_run
from selfinstruct.store.commits import ANSWERS, CONVERSATIONS, SUPPLEMENTS, CommitKind
from selfinstruct.verdicts.whatif import Thresholds, save_what_if
from tests.conftest import Generate, draw, varied_script
from tests.generate.chatting import chatty

NOTHING: dict[str, Any] = {"model_progress": lambda *_: None, "advance": lambda *_: None}
TASKS = [TaskPrompt(f"t{n}", f"t{n}", f"Name thing {n}.", "") for n in range(12)]

# What a commit says of the time that it took, and what follows from that.
_OF_THE_MOMENT = {"seconds", "checksums", "sha256", "previous_sha256"}


def script(request: Request) -> str | tuple[str, str]:
    if request.stage is Stage.ANSWER:
        words = " ".join(f"w{draw(request, f'{n}', 90)}" for n in range(draw(request, "n", 9)))
        return f" It is {words}."
    return chatty(request) if request.stage in (Stage.USER, Stage.REPLY) else varied_script(request)


def answers_to(task: TaskPrompt) -> list[ScoredAnswer]:
    return [ScoredAnswer(f"{task.id}-{n}", task.id, f"It is {n}.", 3, True) for n in range(3)]


@dataclass(frozen=True)
class Flow:
    """A flow on the files in a folder: what it does with an engine, and what it left there.

    stream: the module that uses the stream.
    commits: where its commits are seen: what has the function, and its name.
    """

    ask: Callable[[Path, ScriptedEngine], object]
    left: Callable[[Path], list[str]]
    stream: str
    commits: tuple[Any, str]


def answered(out: Path, engine: ScriptedEngine) -> object:
    run, make = open_run(out), lambda *_: engine
    values = {"model": {"name": run.meta["config"]["model"]["name"]}}
    return answer(run, values, make_engine=make, batch_size=4, **NOTHING)


def completed(out: Path, engine: ScriptedEngine) -> object:
    return complete(open_run(out), make_engine=lambda *_: engine, batch_size=3, **NOTHING)


def conversed(out: Path, engine: ScriptedEngine) -> object:
    return converse(open_run(out), {}, make_engine=lambda *_: engine, batch_size=4, **NOTHING)


def sampled(out: Path, engine: ScriptedEngine) -> object:
    how = SampleSettings(k=3, temperature=1.0, max_tokens=64, seed=0, scored=True)
    return sample_answers(
        engine, prompts=TASKS, how=how, out=out, advance=lambda *_: None, batch_size=2
    )


def compared(out: Path, engine: ScriptedEngine) -> object:
    def commit(votes: Sequence[Any]) -> None:
        folder.commit_rows(out, folder.VOTES, votes)

    return judge_answers(
        engine,
        prompts=TASKS,
        answers={task.id: answers_to(task) for task in TASKS},
        question=Question(TEMPLATE),
        votes=VoteStore(lambda: folder.read_votes(out), commit),
        advance=lambda *_: None,
    )


def evaluated(out: Path, engine: ScriptedEngine) -> object:
    path = out / "verdicts.jsonl"
    done = path.read_text().count("\n") if path.exists() else 0
    duels = {str(n): Duel(str(n), f"Task {n}.", f"a{n}", f"b{n}") for n in range(done, 40)}
    return judge_duels(engine, duels=duels, template=TEMPLATE, path=path, advance=lambda *_: None)


def in_commits(kind: CommitKind) -> Callable[[Path], list[str]]:
    def left(out: Path) -> list[str]:
        run, rows = open_run(out), []
        for number in kind.numbers(run):
            rows += [repr(astuple(row)) for row in kind.read_completions(run, number)]
            if kind.has_chats:
                rows += [repr(astuple(row)) for row in kind.read_turns(run, number)]
            else:
                rows += [repr(astuple(row)) for row in kind.read_instances(run, number)]
            info = kind.info(run, number)
            rows.append(repr({k: v for k, v in info.items() if k not in _OF_THE_MOMENT}))
        return rows

    return left


COMMIT = (CommitKind, "commit")
FLOWS = {
    "answer": Flow(answered, in_commits(ANSWERS), "generate.answer", COMMIT),
    "complete": Flow(completed, in_commits(SUPPLEMENTS), "generate.complete", COMMIT),
    "converse": Flow(conversed, in_commits(CONVERSATIONS), "generate.converse", COMMIT),
    "sample": Flow(
        sampled,
        lambda out: [repr(row) for row in folder.read_scored(out)],
        "preferences.sample",
        (sample, "commit_rows"),
    ),
    "judge": Flow(
        compared,
        lambda out: [repr(row) for row in folder.read_votes(out)],
        "labellers.duels",
        (folder, "commit_rows"),
    ),
    "evaluate": Flow(
        evaluated,
        lambda out: (out / "verdicts.jsonl").read_text().splitlines(),
        "labellers.duels",
        (verdicts, "append_lines"),
    ),
}


@pytest.fixture(params=FLOWS)
def flow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Flow:
    monkeypatch.setattr("selfinstruct.labellers.judge.BATCH", 2)
    monkeypatch.setattr("selfinstruct.evaluate.verdicts._BATCH", 8)
    return FLOWS[request.param]


@pytest.fixture
def files(
    flow: Flow, tmp_path: Path, generate: Generate, made: dict[str, Path]
) -> Callable[[str], Path]:
    """Copies of what the flow starts from: a run that owes it work, or an empty folder."""
    if flow.commits != COMMIT:
        return lambda name: Path(shutil.copytree(tmp_path / "empty", tmp_path / name))
    if "owing" not in made:
        values = {"likelihood__calibration": 20, "novelty__threshold": 0.3, "stop__target": 25}
        strict, _ = generate(tmp_path / "strict", **values)
        made["owing"] = save_what_if(strict, Thresholds(rouge=0.6), tmp_path / "owing").path
    return lambda name: Path(shutil.copytree(made["owing"], tmp_path / name))


@dataclass
class Seen:
    """At each commit: requests in flight, and requests that were asked so far."""

    in_flight: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)


def ask(
    flow: Flow, out: Path, patch: pytest.MonkeyPatch, **engine: Any
) -> tuple[ScriptedEngine, Seen]:
    """Run the flow once, and look at its engine at each commit."""
    scripted, seen = ScriptedEngine(script, batch=3, **engine), Seen()
    where, name = flow.commits
    original = getattr(where, name)

    def commit(*words: Any) -> Any:
        seen.in_flight.append(len(scripted._waiting))
        seen.asked.append(len(scripted.requests))
        return original(*words)

    with patch.context() as own:
        own.setattr(where, name, commit)
        flow.ask(out, scripted)
    return scripted, seen


def drained(
    engine: ScriptedEngine, batches: Iterable[Sequence[Any]], _advance: object = None
) -> Iterator[Sequence[Any]]:
    """The former way: a batch is asked once the one before it was committed."""
    for batch in batches:
        waiting = {request.id: part for part in batch for request in _sent(engine, part.start())}
        while waiting:
            for completion in engine.collect():
                part = waiting.pop(completion.id)
                waiting |= {r.id: part for r in _sent(engine, part.take(completion))}
        yield batch


def _sent(engine: ScriptedEngine, requests: list[Request]) -> list[Request]:
    engine.submit(requests)
    return requests


def requests_of(engine: ScriptedEngine) -> list[tuple[str, int, str]]:
    return sorted((r.id, r.seed, str(r.prompt)) for r in engine.requests)


def test_the_engine_is_busy_at_every_commit(
    flow: Flow, files: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    engine, seen = ask(flow, files("streamed"), monkeypatch)
    total = len(engine.requests)
    assert len(seen.in_flight) > 3
    for in_flight, asked in zip(seen.in_flight, seen.asked, strict=True):
        assert in_flight >= engine.at_once or asked == total
    assert sum(count >= engine.at_once for count in seen.in_flight) > len(seen.in_flight) // 2
    # The former way ran dry at every commit; what it left is the same.
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[f"selfinstruct.{flow.stream}"], "stream", drained)
        former, dry = ask(flow, files("drained"), monkeypatch)
    assert set(dry.in_flight) == {0}
    assert flow.left(tmp_path / "streamed") == flow.left(tmp_path / "drained")
    assert requests_of(engine) == requests_of(former)


def test_interrupted_it_asks_the_same_again(
    flow: Flow, files: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    whole, _ = ask(flow, files("whole"), monkeypatch)
    everything = requests_of(whole)
    for share, shuffle in ((0.2, None), (0.5, 1), (0.8, 2)):
        die_after = int(share * len(everything))
        out = files(f"stopped-{die_after}")
        with pytest.raises(EngineError):
            ask(flow, out, monkeypatch, die_after=die_after, shuffle=shuffle)
        resumed, _ = ask(flow, out, monkeypatch, shuffle=shuffle)
        assert flow.left(out) == flow.left(tmp_path / "whole")
        if flow.stream != "labellers.duels":  # whose requests are numbered anew, and not kept
            assert set(requests_of(resumed)) <= set(everything)
        kept = len(everything) - len(resumed.requests)
        assert 0 <= kept <= die_after
