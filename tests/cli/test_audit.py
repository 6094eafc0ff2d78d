"""The audit commands: what they print, what they refuse, and how they end."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.sample import newest_sample
from selfinstruct.audit.search import Filter, candidates
from selfinstruct.cli.app import run as cli
from selfinstruct.decisions.labels import Rating, read_labels
from selfinstruct.decisions.overrides import overrides_path, read_overrides
from selfinstruct.store import Run

Generate = Callable[..., tuple[Run, str]]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=20)[0]


def said(arguments: list[str], capfd: pytest.CaptureFixture[str], code: int = 0) -> Any:
    """Run an audit command; return what it printed as JSON, or its message if it refuses."""
    capfd.readouterr()
    found = cli(["audit", *arguments])
    captured = capfd.readouterr()
    assert found == code, captured.err
    return json.loads(captured.out) if code in (0, 4) else " ".join(captured.err.split())


def test_what_was_cut_off_an_answer_is_shown(tmp_path: Path, capfd: Any) -> None:
    """In a golden run of version 3, some answers open with chat."""
    path = str(Path(shutil.copytree(ROOT / "tests/golden/runs/third", tmp_path / "third")))
    assert cli(["audit", "list", path, "--stage", "instances", "--json", "--limit", "500"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    opened = "Sure, here is what I think:"
    [id] = [row["id"] for row in rows if row["cut"]]
    assert cli(["audit", "show", path, id]) == 0
    assert f"cut off around it:\n   {opened}\n" in capfd.readouterr().out
    assert said(["show", path, id, "--json"], capfd)["row"]["cut"] == opened
    whole = next(row["id"] for row in rows if not row["cut"])
    assert cli(["audit", "show", path, whole]) == 0
    assert "cut off" not in capfd.readouterr().out


def id_of(run: Run, **wanted: Any) -> str:
    return str(next(candidates(run, Filter(**wanted)))["id"])


def test_a_decision_is_told_and_taken_back(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    path, id = str(run.path), id_of(run, reason="not_novel")
    found = said(["restore", path, id, "--by", "ann", "--note", "good", "--json"], capfd)
    assert (found["action"], found["by"], found["note"]) == ("restore", "ann", "good")
    assert found["outcome"] == "pending_instances"
    found = said(["edit", path, id, "--output", "Yes.", "--json"], capfd)
    assert (found["output"], found["outcome"]) == ("Yes.", "accepted")
    assert found["by"]
    assert said(["undo", path, id, "--json"], capfd)["outcome"] == "pending_instances"
    assert said(["undo", path, id, "--json"], capfd)["outcome"] == "not_novel"
    assert "nothing to undo" in said(["undo", path, id], capfd, code=2)
    accepted = id_of(run, verdict="accepted")
    assert said(["drop", path, accepted, "--json"], capfd)["outcome"] == "dropped"
    assert cli(["audit", "summary", path]) == 0
    assert "decided by people: 1 drop" in capfd.readouterr().out
    assert cli(["audit", "list", path, "--verdict", "accepted"]) == 0
    assert "drop" in capfd.readouterr().out


def test_a_decision_for_people(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    id = id_of(run, reason="not_novel")
    assert cli(["audit", "restore", str(run.path), id, "--by", "[b]ann\x1b"]) == 0
    captured = capfd.readouterr()
    assert f"{id}: restored by [b]ann⟨U+001B⟩; now pending_instances" in captured.out
    assert f"selfinstruct complete {run.path}" in captured.err


def test_an_unknown_id_writes_nothing(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    message = said(["drop", str(run.path), "r00000-p000-i55"], capfd, code=2)
    assert "the nearest is r00000-p000-i0" in message
    assert not overrides_path(run).exists()


def test_show(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    id = id_of(run, reason="not_novel")
    found = said(["show", str(run.path), id, "--json"], capfd)
    assert found["row"]["id"] == id
    assert found["neighbour"]["marks"]
    assert cli(["audit", "show", str(run.path), id]) == 0
    text = capfd.readouterr().out
    assert f"{id}: not_novel, round 0" in text
    assert "6 common of 8 and 7 tokens" in text
    assert "common: Compare proverb p1 about q1" in text
    assert '"temperature": 0.7' in text
    instance = next(candidates(run, Filter("instances", reason="placeholder")))["id"]
    assert cli(["audit", "show", str(run.path), instance]) == 0
    assert "[your answer here]" in capfd.readouterr().out


def test_list_filters_and_sorts(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = ["--text", "PROVERB", "--min-rouge", "0.5", "--sort", "mean_logprob", "--descending"]
    assert cli(["audit", "list", str(run.path), *wanted, "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert rows
    assert all("proverb" in row["text"] and row["rouge_l"] >= 0.5 for row in rows)
    scores = [row["mean_logprob"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert "cannot be; there are: judged" in said(
        ["list", str(run.path), "--sort", "luck"], capfd, code=2
    )


def test_verify_ends_with_4_on_damage(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    found = said(["verify", str(run.path), "--json"], capfd)
    assert found == {"rounds": len(run.rounds()), "files": 3 * len(run.rounds()), "problems": []}
    file = run.round_path(0) / "instances.parquet"
    file.write_bytes(b"")
    [problem] = said(["verify", str(run.path), "--json"], capfd, code=4)["problems"]
    assert str(file) in problem
    assert cli(["audit", "verify", str(run.path)]) == 4
    assert "1 damaged" in capfd.readouterr().out


def press(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(keys))


def test_rating_in_the_terminal(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(run.path)
    assert "there is no sample to rate" in said(["label", path], capfd, code=2)
    drawn = said(["sample", path, "--per-reason", "4", "--json"], capfd)
    assert {one["weight"] for one in drawn["strata"]} > {1.0}
    press("A\nbx7sd", monkeypatch)
    assert cli(["audit", "label", path, "--rater", "ann"]) == 0
    captured = capfd.readouterr()
    assert "'x' is not a key here" in captured.err
    assert "3 of" in captured.err
    assert "continue with the same command" in captured.err
    assert list(read_labels(run).current.values()) == [Rating.A, Rating.B, Rating.D]
    assert not re.search(r"not_novel|accepted|no_instances", captured.out)  # blind
    press("uuq", monkeypatch)
    assert cli(["audit", "label", path, "--rater", "ann"]) == 0
    assert "removed the rating D" in capfd.readouterr().err
    press("u" + "a" * 99, monkeypatch)
    assert cli(["audit", "label", path, "--rater", "ann"]) == 0
    assert "all are rated" in capfd.readouterr().err
    sample = newest_sample(run)
    assert sample is not None
    assert {id for id, _ in read_labels(run).current} == set(sample.ids)
    assert cli(["audit", "summary", path]) == 0
    text = capfd.readouterr().out
    assert "false accepts: 0% (0 to" in text
    assert "rated: " in text
    data = said(["summary", path, "--json"], capfd)
    assert data["error_rates"]["tables"]["instructions"]["precision"]["value"] == 1.0
    data = said(["whatif", path, "--rouge", "0.95", "--json"], capfd)
    [rates] = data["error_rates"]
    assert rates["after"]["kept"] > rates["before"]["kept"]
    assert cli(["audit", "whatif", path, "--rouge", "0.95"]) == 0
    assert "kept among the good" in capfd.readouterr().out


def test_a_sample_of_before_is_told(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, generate: Generate
) -> None:
    path = str(run.path)
    assert cli(["audit", "sample", path, "--per-reason", "2", "--stage", "both"]) == 0
    press("aaaa", monkeypatch)
    assert cli(["audit", "label", path]) == 0
    generate(run.path, resume=True, stop__target=25)
    capfd.readouterr()
    assert cli(["audit", "summary", path]) == 0
    message = " ".join(capfd.readouterr().err.split())
    assert "the run has changed since the sample was drawn" in message
    assert cli(["audit", "whatif", path, "--rouge", "0.5"]) == 0
    captured = capfd.readouterr()
    assert "no error rates: " in captured.err
    assert "error rates of" not in captured.out


def test_what_the_page_on_audits_says_runs(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run, _ = generate(tmp_path / "outputs" / "first", stop__target=20)
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    calls = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    assert len(calls) >= 14
    for call in calls:
        press("abcdu", monkeypatch)
        assert cli(call) == 0, call
    assert [one.action for one in read_overrides(run).entries] == [
        "restore",
        "edit",
        "undo",
        "drop",
    ]


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("stage", ["instructions", "instances"])
def test_long_texts_are_cut_to_two_lines(
    stage: str,
    width: int,
    run: Run,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rich.console import Console

    from selfinstruct.cli import listing

    row = next(candidates(run, Filter(table=stage, verdict="accepted")))
    long = {"text": "word\n\n" * 300, "input": "", "output": "日本語 answer " * 300}
    page = io.StringIO()
    monkeypatch.setattr(listing, "stdout", Console(file=page, width=width))
    listing._print_rows([{**row, **long}], listing.StageName(stage), run.path)
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    body = [line for line in lines if "word" in line or "日本" in line or "answer" in line]
    assert len(body) == 2
    assert "…" in body[1]
    assert row["id"] in page.getvalue()
    assert "audit show" in capfd.readouterr().err


def test_a_short_text_is_whole(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from selfinstruct.cli.cells import Cut

    console = Console(file=io.StringIO(), width=10)
    with console.capture() as capture:
        console.print(Cut("one two"), Cut("one two three four five"), Cut("x" * 30))
    assert capture.get().split("\n")[:5] == [
        "one two",
        "one two",
        "three fou…",
        "x" * 10,
        "x" * 9 + "…",
    ]
