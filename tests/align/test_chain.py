"""The chain: its order, what is skipped, what is refused, and its report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main

from selfinstruct.align.chain import StageFailed, align
from selfinstruct.align.page import write_page
from selfinstruct.align.settings import AlignSettings
from selfinstruct.align.stages import stages_of
from selfinstruct.cli.app import app
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, StoreError

HEALTH = {
    "pairs": 60,
    "accuracy": {"mean": 0.9, "low": 0.8, "high": 0.95},
    "divergence": 1.5,
    "warnings": [{"trouble": "longer", "found": "fresh <b>answers</b>", "advice": "balance"}],
}
EVALUATION = {
    "settings": {"judge": "bundled"},
    "models": {name: {"rouge_l": 0.1, "exact_match": None} for name in ("base", "sft", "dpo")},
    "comparisons": [
        {"a": "sft", "b": "base", "metric": "rouge_l", "difference": 0.1, "low": 0.05, "high": 0.2}
    ],
    "wins": [],
}
WRITES: dict[str, Any] = {
    "generate": ("run/run.yaml", None),
    "export": ("sft.jsonl", None),
    "sft": (
        "sft/training.json",
        {"train_rows": 9, "validation_rows": 1, "validation_losses": []},
    ),
    "prefer": (
        "preferences/report.json",
        {
            "labeller": "likelihood",
            "pairs": {"train": 9, "held_out": 60},
            "dropped": {},
            "lengths": {},
        },
    ),
    "dpo": ("dpo/training.json", {"train_pairs": 9, "held_out_pairs": 60, "health": HEALTH}),
    "evaluate": ("evaluation/report.json", EVALUATION),
}
STAGES = ("generate", "export", "sft", "prefer", "dpo", "evaluate")
NAMES = {"train sft": "sft", "train dpo": "dpo"}


def settings(**more: Any) -> AlignSettings:
    given = {"model": "bundled", "target": 20, "judge": "bundled", "seed": 0, "seeds": None}
    return AlignSettings(**{**given, "options": {}, **more})


class Commands:
    """Stands for processes of their own: writes what each stage leaves behind."""

    def __init__(self, out: Path, fails: str | None = None) -> None:
        self.out, self.fails = out, fails
        self.ran: list[str] = []

    def __call__(self, words: Sequence[str]) -> int:
        name = NAMES.get(" ".join(words[:2]), words[0])
        self.ran.append(name)
        if name == self.fails:
            return 3
        path, told = WRITES[name]
        (self.out / path).parent.mkdir(parents=True, exist_ok=True)
        (self.out / path).write_text("{}\n" if told is None else json.dumps(told))
        return 0


def chain(out: Path, fails: str | None = None, **more: Any) -> tuple[Commands, Callable[[], Any]]:
    ran = Commands(out, fails)
    return ran, lambda: align(out, settings(**more), ran, lambda *_: None)


def test_every_stage_is_a_command(tmp_path: Path) -> None:
    for stage in stages_of(tmp_path, settings(seeds=str(tmp_path / "seeds.txt"), engine="vllm")):
        command, words = typer.main.get_command(app), list(stage.words)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        # An option that the command does not have, or a value that it does not take, is an error.
        with command.make_context(stage.name, words):
            pass
        with pytest.raises(Exception, match="No such option: --warp"):
            command.make_context(stage.name, [*stage.words[1:], "--warp", "9"])
    assert [stage.name for stage in stages_of(tmp_path, settings())] == list(STAGES)


def test_the_policy_is_what_was_fine_tuned_and_the_reference_too(tmp_path: Path) -> None:
    words = {stage.name: stage.words for stage in stages_of(tmp_path, settings(target=7))}
    sft, dpo = str(tmp_path / "sft"), str(tmp_path / "dpo")
    assert words["generate"][words["generate"].index("--target") + 1] == "7"
    assert words["prefer"][words["prefer"].index("--policy") + 1] == sft
    assert words["dpo"][words["dpo"].index("--model") + 1] == sft
    assert f"base=bundled sft={sft} dpo={dpo}".split() == [
        word for word in words["evaluate"] if "=" in word
    ]


def test_the_engine_runs_every_stage_that_asks_a_model(tmp_path: Path) -> None:
    words = {one.name: one.words for one in stages_of(tmp_path, settings(engine="other"))}
    asking = {name for name, own in words.items() if "--engine other" in " ".join(own)}
    assert asking == {"generate", "prefer", "evaluate"}
    # A chain from before there was a choice goes on: nothing is said where nothing is given.
    assert all("--engine" not in one.words for one in stages_of(tmp_path, settings()))


def test_stages_run_once_and_in_their_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran, go = chain(out)
    report = go()
    assert ran.ran == list(STAGES)
    assert report["evaluation"] == EVALUATION
    assert [one["name"] for one in report["stages"]] == list(STAGES)
    again, go = chain(out)
    assert go()["tasks"] == 1
    assert again.ran == []


def test_what_is_gone_is_made_anew_with_all_that_was_made_of_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _, go = chain(out)
    go()
    shutil.rmtree(out / "dpo")
    again, go = chain(out)
    with pytest.raises(ConfigError, match=r"dpo must run, .*delete .*evaluation, or"):
        go()
    assert again.ran == []
    shutil.rmtree(out / "evaluation")
    go()
    assert again.ran == ["dpo", "evaluate"]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_within_any_stage_it_goes_on(tmp_path: Path, stage: str) -> None:
    """Nothing is written after a SIGKILL, not even by `finally`."""
    out = tmp_path / "out"
    ran = Commands(out)

    def killed(words: Sequence[str]) -> int:
        before = (out / "stages.json").read_bytes()
        code = ran(words)
        if ran.ran[-1] == stage:
            killed.left = before  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return code

    with pytest.raises(KeyboardInterrupt):
        align(out, settings(), killed, lambda *_: None)
    (out / "stages.json").write_bytes(killed.left)  # type: ignore[attr-defined]
    again, go = chain(out)
    go()
    # The stage had ended: it is asked again where it knows that itself, and where not, not.
    rest = list(STAGES[STAGES.index(stage) :])
    assert again.ran == (rest if stage in ("generate", "export") else rest[1:])


def test_a_stage_that_fails_keeps_those_before_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran, go = chain(out, fails="prefer")
    with pytest.raises(StageFailed) as failed:
        go()
    assert (failed.value.stage, failed.value.code) == ("prefer", 3)
    ran, go = chain(out)
    go()
    assert ran.ran == ["prefer", "dpo", "evaluate"]


def test_what_is_done_is_done_by_the_same_command(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _, go = chain(out, fails="dpo")
    with pytest.raises(StageFailed):
        go()
    _, go = chain(out, target=30)
    with pytest.raises(ConfigError, match=r"generate was done by .*--target 20.*not .*--target 30"):
        go()
    # A stage that is not done is free to change.
    ran, go = chain(out, options={"dpo": ["--beta", "0.3"]})
    go()
    assert ran.ran == ["dpo", "evaluate"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    _, go = chain(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds other files \(notes.txt\)"):
        go()
    out = tmp_path / "damaged"
    _, go = chain(out)
    go()
    (out / "stages.json").write_text("{")
    with pytest.raises(StoreError, match=r"stages.json: is damaged .*another --out"):
        go()


def test_who_labels_does_not_judge(tmp_path: Path) -> None:
    options = {"prefer": ["--labeller", "judge", "--judge", "big"]}
    _, go = chain(tmp_path / "out", judge="big", options=options)
    with pytest.raises(ConfigError, match="--judge big: already labels the pairs"):
        go()
    assert not (tmp_path / "out").exists()


def test_the_page_escapes_and_links(tmp_path: Path) -> None:
    _, go = chain(tmp_path)
    write_page(go(), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "fresh &lt;b&gt;answers&lt;/b&gt;" in page
    assert 'href="evaluation/report.html"' in page
    assert "sft − base" in page
    assert "<script" not in page


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("selfinstruct.cli.align._run", Commands(out, fails="sft"))
    assert cli(["align", "--out", str(out), "--stage", "sft=--epochs 1"]) == 3
    assert "To continue, run the same command" in capfd.readouterr().err
    done = Commands(out)
    monkeypatch.setattr("selfinstruct.cli.align._run", done)
    assert cli(["align", "--out", str(out), "--stage", "sft=--epochs 1"]) == 0
    assert done.ran == list(STAGES[2:])
    assert "in all" in capfd.readouterr().out
    assert (out / "report.html").is_file()
    assert cli(["align", "--out", str(out), "--stage", "tea=--hot"]) == 2
    assert "the stages are generate, revise, export" in capfd.readouterr().err


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "bundeld"], "did you mean 'bundled'?"),
        (["--judge", "./nowhere"], "no such folder"),
        (["--engine", "vlm"], "did you mean 'vllm'?"),
        (["--seeds", "none.jsonl"], "no such file"),
        (["--stage-options", "sft=--epoch 1"], "sft: No such option: --epoch"),
        (["--stage-options", "prefer=--k many"], "prefer: Invalid value for '--k'"),
        (["--stage-options", "sfd=--epochs 1"], "did you mean 'sft'?"),
        (["--stage-options", "sft"], "give STAGE=OPTIONS"),
    ],
)
def test_the_command_refuses_before_anything_is_written(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("selfinstruct.cli.align._run", lambda words: pytest.fail(f"ran {words}"))
    assert cli(["align", "--out", "out", *arguments]) == 2
    assert message in " ".join(capfd.readouterr().err.split())
    assert left(tmp_path) == []


def test_a_folder_of_other_files_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    _, go = chain(tmp_path)
    with pytest.raises(ConfigError, match="holds other files"):
        go()
    assert left(tmp_path) == ["mine.txt"]


@pytest.mark.parametrize(("code", "kept"), [(2, []), (3, [".selfinstruct.lock", "stages.json"])])
def test_a_first_stage_that_is_refused_leaves_nothing(
    code: int, kept: list[str], tmp_path: Path
) -> None:
    """One that failed on the way can be continued, so what is known of it stays."""
    out = tmp_path / "out"
    with pytest.raises(StageFailed):
        align(out, settings(), lambda words: code, lambda *_: None)
    assert left(tmp_path) == sorted(["out", *kept] if kept else [])
