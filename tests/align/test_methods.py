"""Methods and iterations: which stages they have, what is added later, and the report."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main

from selfinstruct.align.chain import StageFailed, align
from selfinstruct.align.page import write_page
from selfinstruct.align.settings import AlignSettings
from selfinstruct.align.stages import policies_of, stages_of
from selfinstruct.align.steps import METHODS
from selfinstruct.cli.app import app
from selfinstruct.cli.app import run as cli
from selfinstruct.cli.options import text_or_file
from selfinstruct.common.errors import ConfigError
from tests.align.scripted import Scripted, drawn
from tests.align.test_chain import settings

ALL = tuple(step.kind for step in METHODS)
REPEATED = tuple(step.kind for step in METHODS if step.repeats)


def go(out: Path, how: AlignSettings, **more: str) -> tuple[Scripted, dict[str, Any]]:
    ran = Scripted(out, how, **more)
    return ran, align(out, how, ran, lambda *_: None, drawn)


def names_of(how: AlignSettings) -> list[str]:
    return [stage.name for stage in stages_of(Path("o"), how)]


def words_of(how: AlignSettings) -> dict[str, str]:
    return {stage.name: " ".join(stage.words) for stage in stages_of(Path("o"), how)}


def test_the_commands_of_a_chain_without_a_choice_are_those_of_before_there_was_one() -> None:
    """So that a folder of an earlier version goes on."""
    assert [" ".join(stage.words) for stage in stages_of(Path("o"), settings())] == [
        "generate --model bundled --target 20 --out o/run --seed 0 --resume",
        "export o/run --format messages --out o/sft.jsonl",
        "train sft --data o/run --model bundled --out o/sft --epochs 1 --seed 0 --resume",
        "prefer o/run --policy o/sft --out o/preferences --seed 0 --resume",
        "train dpo --data o/preferences --model o/sft --out o/dpo --epochs 1 --fresh 16 --seed 0 "
        "--resume",
        "evaluate --model base=bundled --model sft=o/sft --model dpo=o/dpo --out o/evaluation "
        "--judge bundled --judge-tasks 60",
    ]


@pytest.mark.parametrize(
    ("methods", "iterations"), [(ALL, 1), *(((name,), 2) for name in REPEATED)]
)
@pytest.mark.parametrize("feedback", [None, "ai"])
def test_every_stage_is_a_command(
    methods: tuple[str, ...], iterations: int, feedback: str | None, tmp_path: Path
) -> None:
    how = settings(methods=methods, iterations=iterations, engine="vllm", feedback=feedback)
    for stage in stages_of(tmp_path, how):
        command, words = typer.main.get_command(app), list(stage.words)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        with command.make_context(stage.name, words):
            pass


def test_methods_share_what_they_need() -> None:
    assert names_of(settings(methods=("kto", "dpo"))) == [
        *("generate", "export", "sft", "prefer", "dpo", "kto", "evaluate"),
    ]
    assert names_of(settings(methods=("sft",))) == ["generate", "export", "sft", "evaluate"]
    assert names_of(settings(methods=("best-of", "rl"))) == [
        *("generate", "export", "sft", "prefer", "reward", "choose", "best-of", "rl", "evaluate"),
    ]
    words = words_of(settings(methods=ALL, gold="words"))
    assert "--reward model:o/reward --gold words" in words["rl"]
    assert "--labeller reward --reward-model o/reward" in words["choose"]
    assert "--data o/choices/best.jsonl --model o/sft" in words["best-of"]
    assert "--field chosen" in words["sft-chosen"]
    assert "--gold" not in words_of(settings(methods=("rl",), gold=None))["rl"]


def test_a_policy_learns_from_its_own_answers() -> None:
    """The fine-tuned model answers the run's closed tasks, and is trained on what passed."""
    words = words_of(settings(methods=("votes", "star")))
    asked = "answer o/run --model o/sft"
    whole = " | ".join(words.values())
    assert f"{asked} --votes 8 --rationale" in whole
    assert f"{asked} --rationale --keep-if-match" in whole
    assert "--data o/run --model o/sft --out o/votes --answers votes" in words["votes"]
    assert "--data o/run --model o/sft --out o/star --answers rationales" in words["star"]


def test_all_are_compared_with_the_base_and_the_prompted_model() -> None:
    words = stages_of(Path("o"), settings(methods=("dpo", "best-of")))[-1].words
    named = [word for before, word in pairwise(words) if before == "--model"]
    assert named == [
        *("base=bundled", "prompted=bundled", "sft=o/sft", "best-of=o/best-of", "dpo=o/dpo"),
    ]
    assert words[words.index("--system") + 1] == "prompted=hhh"
    assert "honest" in text_or_file("hhh")  # the shipped prompt


def test_an_iteration_starts_from_the_policy_of_the_one_before() -> None:
    how = settings(methods=("dpo",), iterations=2)
    first, second = "o/iteration-1", "o/iteration-2"
    words = words_of(how)
    assert list(words) == [
        *("generate", "export", "sft", "prefer-1", "reward-1", "dpo-1"),
        *("prefer-2", "reward-2", "dpo-2", "evaluate"),
    ]
    assert f"--policy o/sft --out {first}/preferences --seed 0" in words["prefer-1"]
    # Another seed: other answers to the same tasks.
    assert f"--policy {first}/dpo --out {second}/preferences --seed 1" in words["prefer-2"]
    assert f"--data {second}/preferences --model {first}/dpo --out {second}/dpo" in words["dpo-2"]
    # The reward is updated: it learns from the labels of both iterations.
    data = [f"--data {each}/preferences/train.parquet" for each in (first, second)]
    assert " ".join(data) in words["reward-2"]
    assert f"--validation-data {second}/preferences/held_out.parquet" in words["reward-2"]
    assert f"sft=o/sft --model dpo-1={first}/dpo --model dpo-2={second}/dpo" in words["evaluate"]
    assert [one.name for one in policies_of(stages_of(Path("o"), how), how)] == [
        *("sft", "dpo-1", "dpo-2"),
    ]
    learnt = words_of(settings(methods=("rl",), iterations=2))["rl-2"]
    assert f"--model {first}/rl --out {second}/rl --reward model:{second}/reward" in learnt


def test_feedback_of_a_model_by_principles() -> None:
    """Revise, fine-tune on the revisions, label by the principles, then reward and RL, or DPO."""
    how = settings(methods=("rl",), feedback="ai", principles="mine.yaml", judge=None)
    assert names_of(how) == [
        *("generate", "revise", "export", "sft", "prefer", "reward", "rl", "evaluate"),
    ]
    words = words_of(how)
    assert words["revise"] == "revise o/run --principles mine.yaml"
    assert "--answers prefer-revision" in words["export"]
    assert "--answers prefer-revision" in words["sft"]
    assert "--labeller principles --judge bundled --principles mine.yaml" in words["prefer"]
    uses = {stage.name: stage.uses for stage in stages_of(Path("o"), how)}
    assert uses["sft"] == ("generate", "revise")
    assert uses["export"] == ("generate", "revise")
    again = settings(methods=("dpo",), iterations=2, feedback="ai", judge=None)
    assert names_of(again)[:4] == ["generate", "revise", "export", "sft"]
    assert "--labeller principles" in words_of(again)["prefer-2"]


def test_who_labels_by_principles_does_not_judge(tmp_path: Path) -> None:
    how = settings(feedback="ai")
    with pytest.raises(ConfigError, match="--judge bundled: already labels the pairs"):
        align(tmp_path / "out", how, lambda _: pytest.fail("ran"), lambda *_: None)
    other = settings(feedback="ai", options={"prefer": ["--judge", "big"]})
    assert other.label_judge == "big"
    go(tmp_path / "out", other)
    with pytest.raises(ConfigError, match="--principles: is for --feedback ai"):
        align(tmp_path / "no", settings(principles="x"), lambda _: 0, lambda *_: None)


def test_a_chain_with_feedback_is_another_chain(tmp_path: Path) -> None:
    """A finished stage is refused with other options; one that was killed goes on."""
    out, how = tmp_path / "out", settings(feedback="ai", judge=None)
    with pytest.raises(StageFailed):
        go(out, how, fails="revise")
    ran, _ = go(out, how)
    assert ran.ran == ["revise", "export", "sft", "prefer", "dpo", "evaluate"]
    with pytest.raises(ConfigError, match="export was done by"):
        go(out, settings(judge=None))


@pytest.mark.parametrize("methods", [("dpo", "kto"), ("best-of",), ("sft",)])
def test_what_cannot_be_repeated(tmp_path: Path, methods: tuple[str, ...]) -> None:
    how = settings(methods=methods, iterations=2)
    with pytest.raises(ConfigError, match=r"--iterations 2: repeats one method, not .*sft-chosen"):
        align(tmp_path / "out", how, lambda _: pytest.fail("ran"), lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_options_of_a_stage_hold_for_every_iteration() -> None:
    words = words_of(settings(iterations=2, options={"prefer": ["--k", "6"]}))
    assert all(words[name].endswith("--k 6") for name in ("prefer-1", "prefer-2"))


def test_a_method_is_added_to_a_finished_chain(tmp_path: Path) -> None:
    """Only what it needs is run, and the comparison, which keeps the answers that it has."""
    out = tmp_path / "out"
    go(out, settings())
    ran, report = go(out, settings(methods=("dpo", "kto")))
    assert ran.ran == ["kto", "evaluate"]
    assert [row["model"] for row in report["table"]] == ["base", "prompted", "sft", "dpo", "kto"]
    ran, report = go(out, settings(methods=("dpo", "kto", "rl")))
    assert ran.ran == ["reward", "rl", "evaluate"]
    # One that is left out would need another comparison, not a larger one.
    with pytest.raises(ConfigError, match="evaluate was done by"):
        go(out, settings(methods=("rl",)))
    with pytest.raises(ConfigError, match="evaluate was done by"):
        go(out, settings(methods=("dpo", "kto", "rl"), judge=None))


def test_an_added_method_that_is_killed_goes_on(tmp_path: Path) -> None:
    """The report of the smaller comparison must not stand for that of the larger one."""
    out, how = tmp_path / "out", settings(methods=("dpo", "kto"))
    go(out, settings(methods=("dpo",)))
    with pytest.raises(StageFailed):
        go(out, how, fails="evaluate")
    ran, report = go(out, how)
    assert ran.ran == ["evaluate"]
    assert report["table"][-1]["model"] == "kto"


def test_iterations_are_added_to_a_finished_chain(tmp_path: Path) -> None:
    out = tmp_path / "out"
    go(out, settings(iterations=2))
    ran, report = go(out, settings(iterations=3))
    assert ran.ran == ["prefer-3", "reward-3", "dpo-3", "evaluate"]
    assert [point["policy"] for point in report["curve"]["points"]] == [
        *("sft", "dpo-1", "dpo-2", "dpo-3"),
    ]


@pytest.mark.parametrize("stage", names_of(settings(iterations=2)))
def test_killed_within_any_stage_of_any_iteration_it_goes_on(tmp_path: Path, stage: str) -> None:
    out, how = tmp_path / "out", settings(iterations=2)
    with pytest.raises(KeyboardInterrupt):
        go(out, how, dies=stage)
    ran, report = go(out, how)
    rest = names_of(how)[names_of(how).index(stage) :]
    # What says itself that it is whole is not asked again.
    assert ran.ran == (rest if stage in ("generate", "export") else rest[1:])
    assert len(report["stages"]) == len(names_of(how))


def test_what_is_made_anew_takes_with_it_what_was_made_of_it_alone(tmp_path: Path) -> None:
    out, how = tmp_path / "out", settings(methods=("dpo", "kto"))
    go(out, how)
    (out / "kto" / "training.json").unlink()
    with pytest.raises(ConfigError, match=r"kto must run, .*delete \S*evaluation, or"):
        go(out, how)  # not dpo, which was not made from it
    (out / "evaluation" / "report.json").unlink()
    assert go(out, how)[0].ran == ["kto", "evaluate"]


def test_the_table(tmp_path: Path) -> None:
    """The minutes of a model are those of all that made it, but for the tasks."""
    out, how = tmp_path / "out", settings(methods=("dpo", "rl"))
    go(out, how)
    stored = json.loads((out / "stages.json").read_text())
    seconds = {"generate": 100.0, "export": 50.0, "sft": 1.0, "prefer": 2.0, "reward": 4.0}
    seconds |= {"dpo": 8.0, "rl": 16.0, "evaluate": 1000.0}
    for row in stored["done"]:
        row["seconds"] = seconds[row["name"]]
    (out / "stages.json").write_text(json.dumps(stored))
    _, report = go(out, how)
    rows = {row["model"]: row for row in report["table"]}
    assert {name: row["seconds"] for name, row in rows.items()} == {
        "base": 0.0,
        "prompted": 0.0,
        "sft": 1.0,
        "dpo": 1.0 + 2.0 + 8.0,
        "rl": 1.0 + 2.0 + 4.0 + 16.0,
    }
    assert report["seconds"] == sum(seconds.values())
    # rl is the fifth of the models, 0.01 a place above the others; the tax is the other way round.
    assert rows["rl"]["above_base"] == pytest.approx(
        {"difference": 0.04, "low": 0.02, "high": 0.06}
    )
    assert rows["rl"]["above_sft"]["difference"] == pytest.approx(0.02)
    assert rows["rl"]["tax"]["difference"] == pytest.approx(-0.04)
    assert rows["base"]["above_base"] is None
    assert list(report["health"]) == ["dpo", "rl"]


def test_the_page_has_the_table_and_the_curve(tmp_path: Path) -> None:
    how = settings(methods=("rl",), iterations=2)
    _, report = go(tmp_path / "out", how)
    write_page(report, tmp_path)
    page = (tmp_path / "report.html").read_text()
    text = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "rl-2 2.000 2.000 (1.500 to 2.500) – – 1.000" in text
    assert page.count("<svg") == 3  # reward, divergence, and both over √KL; there is no gold score
    # The last chart is in standard deviations: 2 above the start, of 2 each, is 1.
    assert page.count("reward 2</small>") == page.count("reward 1</small>") == 1
    assert "reward_hacking" in page
    assert 'href="iteration-2/rl/health.html"' in page
    assert "prompted 0.110 0.010 (-0.010 to 0.030) –" in text
    assert "<script" not in page


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    out = tmp_path / "out"
    how = settings(methods=("sft-chosen",), iterations=2, target=150)
    ran = Scripted(out, how)
    monkeypatch.setattr("selfinstruct.cli.align._run", ran)
    monkeypatch.setattr("selfinstruct.cli.align._draw", drawn)
    words = ["align", "--out", str(out), "--method", "sft-chosen", "--iterations", "2"]
    assert cli(words) == 0
    assert ran.ran == names_of(how)
    told = capfd.readouterr()
    assert "sft-chosen-2" in told.out
    assert "+2.000 (+1.500 to +2.500)" in told.out
    assert (out / "report.html").is_file()


def test_methods_are_listed_or_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    out = tmp_path / "out"
    ran = Scripted(out, settings(methods=("dpo", "kto", "rl"), target=150))
    monkeypatch.setattr("selfinstruct.cli.align._run", ran)
    words = ["align", "--out", str(out), "--method", "dpo, kto", "--method", "rl,dpo"]
    assert cli(words) == 0
    assert {"dpo", "kto", "rl"} < set(ran.ran)
    assert "all models, with paired 95 % intervals" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "dpi"], "did you mean 'dpo'? give one of sft, sft-chosen"),
        (["--method", "dpo,best-of", "--iterations", "2"], "repeats one method, not dpo, best-of"),
        (["--gold", "rogue"], "--gold rogue: there is no such reward"),
        (["--method", "rl", "--stage-options", "rl=--steps many"], "rl: Invalid value for '--step"),
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
    assert list(tmp_path.iterdir()) == []
