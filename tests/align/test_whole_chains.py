"""Whole chains on a tiny model and a scripted engine: two iterations, killed; all methods."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.align.curve import CURVE, unseen_prompts
from selfinstruct.align.settings import AlignSettings
from selfinstruct.align.stages import stages_of
from selfinstruct.align.steps import METHODS
from selfinstruct.cli.app import run as cli
from selfinstruct.common.records import Request, Stage
from selfinstruct.train.data.prompts import read_rl_prompts
from tests.conftest import SUBJECTS, draw, varied_script
from tests.docs.stand_in import add_stand_in
from tests.train.tiny import tiny_model

TRAIN = "--max-length 512 --set bf16=false --set max_steps=2 --set save_steps=1"
OPTIONS = {
    "generate": "--set likelihood.quantile=null --set likelihood.seed_bound=false "
    "--set propose.per_round=6 --prompting base",
    "sft": TRAIN,
    "prefer": "--answer-tokens 64 --held-out-pairs 6",
    "reward": f"{TRAIN} --check none",
    "dpo": f"{TRAIN} --fresh 2 --fresh-tokens 4",
    "evaluate": "--tasks few.jsonl --plain-text none",
}


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command, in a folder where a scripted engine answers, and all runs in this process."""
    add_stand_in(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("selfinstruct.engines.isolated.apart", lambda work, *_: work(max))
    monkeypatch.setattr("selfinstruct.cli.align._run", cli)
    tiny_model(tmp_path / "tiny", positions=8192)
    tasks = ({"instruction": f"Name colour {n}.", "output": "red"} for n in range(4))
    Path("few.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    words = ["align", "--out", "out", "--model", "./tiny", "--engine", "scripted", "--target", "24"]
    words += ["--judge", "none", "--method", "dpo", "--iterations", "2"]
    for kind, options in OPTIONS.items():
        words += ["--stage-options", f"{kind}={options}"]
    return words


def raising(function: Any, at: int) -> Any:
    """Return a function that is killed as it is called for the n-th time."""
    calls = iter(range(1, 1_000_000))

    def call(*arguments: Any, **named: Any) -> Any:
        if next(calls) == at:
            raise KeyboardInterrupt
        return function(*arguments, **named)

    return call


def test_two_iterations_killed_and_resumed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from selfinstruct.align import curve
    from selfinstruct.preferences import sample
    from selfinstruct.train.recipes import dpo_trainer

    out, second = Path("out"), Path("out/iteration-2")
    with monkeypatch.context() as patch:  # within the answers of the second iteration
        committed = raising(sample.commit_rows, at=2)
        patch.setattr(sample, "commit_rows", committed)
        assert cli(words) == 130
    assert "run the same command" in capfd.readouterr().err
    assert (out / "iteration-1" / "dpo" / "training.json").is_file()
    assert not (second / "preferences" / "report.json").exists()
    before = (out / "iteration-1" / "dpo" / "training.json").read_bytes()
    with monkeypatch.context() as patch:  # between two steps of its training
        trainer = dpo_trainer.Trainer
        patch.setattr(trainer, "training_step", raising(trainer.training_step, at=2))
        assert cli(words) == 130
    assert (second / "reward" / "training.json").is_file()
    assert not (second / "dpo" / "training.json").exists()
    with monkeypatch.context() as patch:  # as the second policy is measured
        patch.setattr(curve, "measured", raising(curve.measured, at=2))
        assert cli(words) == 130
    assert (out / "evaluation" / "report.json").is_file()
    assert len(json.loads((out / CURVE).read_text())["points"]) == 1
    assert cli(words) == 0
    assert (out / "iteration-1" / "dpo" / "training.json").read_bytes() == before
    told = capfd.readouterr()
    assert "held-out prompts, by iteration" in told.out

    report = json.loads((out / "report.json").read_text())
    points = report["curve"]["points"]
    assert [point["policy"] for point in points] == ["sft", "dpo-1", "dpo-2"]
    # The first policy is the reference; the others have moved.
    assert points[0]["divergence"] == pytest.approx(0.0, abs=1e-5)
    assert all(point["divergence"] > 1e-5 for point in points[1:])
    assert points[0]["reward_gain"]["mean"] == 0
    assert all(0 <= point["gold"] <= 1 for point in points)
    assert [row["model"] for row in report["table"]] == [
        *("base", "prompted", "sft", "dpo-1", "dpo-2"),
    ]
    assert json.loads((second / "reward" / "training.json").read_text())["sources"]
    assert "few_held_out" in [one["trouble"] for one in report["curve"]["warnings"]]
    assert (out / "report.html").read_text().count("<svg") == 4

    # No iteration trained on a prompt of the curve.
    how = AlignSettings("./tiny", 24, None, 0, None, {}, "scripted", ("dpo",), 2)
    unseen = {prompt.text for prompt in unseen_prompts(out, stages_of(out, how))}
    assert len(unseen) == report["curve"]["prompts"] > 0
    for folder in (out / "iteration-1", second):
        trained = {prompt.text for prompt in read_rl_prompts(folder / "preferences").train}
        assert trained
        assert not trained & unseen

    # Done: the same command measures nothing, and says the same.
    kept = (out / CURVE).read_bytes()
    monkeypatch.setattr(curve, "measured", raising(curve.measured, at=1))
    assert cli(words) == 0
    assert (out / CURVE).read_bytes() == kept


def test_own_answers_to_closed_tasks(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is trained on what most completions reach, and on rationales that reach the answer."""
    from selfinstruct.dataset.rows import Answers, export_rows
    from selfinstruct.store import open_run
    from tests.docs import stand_in

    def reasoned(request: Request) -> str | tuple[str, str]:
        if request.stage is not Stage.ANSWER:
            return varied_script(request)
        hinted = re.findall(r"It looked calm and \S+-like", str(request.prompt))
        subject = SUBJECTS[draw(request, "answer", 2)]
        reached = hinted[-1] if hinted else f"It looked calm and {subject}-like"
        return f"There was no wind at all.\nAnswer: {reached}."

    monkeypatch.setattr(stand_in, "script", reasoned)
    words[words.index("--method") :] = ["--method", "votes,star"]
    for kind, options in {**OPTIONS, "votes": TRAIN, "star": TRAIN}.items():
        words += ["--stage-options", f"{kind}={options}"]
    assert cli(words) == 0
    report = json.loads(Path("out/report.json").read_text())
    assert [one["name"] for one in report["stages"]] == [
        *("generate", "export", "sft", "vote", "votes", "reason", "star", "evaluate"),
    ]
    assert [row["model"] for row in report["table"]] == ["base", "prompted", "sft", "votes", "star"]
    run = open_run(Path("out/run"))
    for answers, folder in ((Answers.VOTES, "votes"), (Answers.RATIONALES, "star")):
        rows = [row for row in export_rows(run, answers) if row.output]
        trained = json.loads(Path(f"out/{folder}/training.json").read_text())
        assert len(rows) > 0
        assert trained["tokens"] > 0
    known = {(row.instruction, row.input): row.output for row in export_rows(run)}
    for row in export_rows(run, Answers.RATIONALES):
        assert row.output.startswith("There was no wind at all.")
        assert known[row.instruction, row.input].rstrip(".") in row.output


def test_feedback_of_a_model(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Revisions are learnt, the policy's answers are labelled by principles, and a reward."""
    from selfinstruct.dataset.rows import Answers, export_rows
    from selfinstruct.store import open_run
    from selfinstruct.store.commits import REVISED

    Path("mine.yaml").write_text(
        "- {name: kind, principle: Be kind., critique: Say what is rude., revision: Be kinder.}\n"
    )
    words[words.index("--method") :] = ["--method", "dpo,rl", "--feedback", "ai"]
    words += ["--principles", "mine.yaml"]
    more = "--max-length 512 --set bf16=false --steps 2 --k 2 --answer-tokens 8 --fresh 2"
    for kind, options in {**OPTIONS, "rl": more}.items():
        words += ["--stage-options", f"{kind}={options}"]
    assert cli(words) == 0
    report = json.loads(Path("out/report.json").read_text())
    assert [one["name"] for one in report["stages"]] == [
        *("generate", "revise", "export", "sft", "prefer", "reward", "dpo", "rl", "evaluate"),
    ]
    run = open_run(Path("out/run"))
    assert REVISED.info(run, 0)["settings"]["principles"][0]["name"] == "kind"
    rows = list(export_rows(run, Answers.PREFER_REVISION))
    revised = [row for row in rows if row.draft is not None]
    assert revised
    learnt = Path("out/sft.jsonl").read_text()
    assert all(row.output in learnt for row in revised)
    assert "prefer-revision" in Path("out/sft/README.md").read_text()
    assert json.loads(Path("out/preferences/report.json").read_text())["labeller"] == "principles"
    # Done: the same command runs nothing.
    capfd.readouterr()
    assert cli(words) == 0
    assert capfd.readouterr().err.count("done before") == 9


def test_all_methods_in_one_table(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Every method trains on what the stages before it wrote, and is compared with the others."""
    # No task of the scripted run has a short answer that votes and rationales could reach.
    out, of_closed_tasks = Path("out"), ("votes", "star")
    methods = [step.kind for step in METHODS if step.kind not in of_closed_tasks]
    words[words.index("--method") :] = ["--method", ",".join(methods)]
    options = OPTIONS | {
        **dict.fromkeys(("sft-chosen", "best-of", "kto"), TRAIN),
        "choose": "--answer-tokens 64 --k 2",
        "rl": "--max-length 512 --set bf16=false --steps 2 --k 2 --answer-tokens 8 --fresh 2",
        "distill": "--max-length 1024 --set bf16=false --steps 2 --answer-tokens 8 --fresh 2",
        "evaluate": "--tasks few.jsonl",
    }
    for kind, more in options.items():
        words += ["--stage-options", f"{kind}={more}"]
    assert cli(words) == 0
    report = json.loads((out / "report.json").read_text())
    rows = {row["model"]: row for row in report["table"]}
    assert list(rows) == ["base", "prompted", *methods]
    for name, row in rows.items():
        assert (row["above_base"] is None) == (name == "base")
        assert (row["tax"] is None) == (name == "base")
        assert (row["seconds"] > 0) == (name not in ("base", "prompted"))
    assert set(report["health"]) == {"dpo", "rl", "distill"}
    assert "The log-likelihood of the teacher's answers changed by" in (
        (out / "report.html").read_text()
    )
    assert "curve" not in report
    assert "all models, with paired 95 % intervals" in capfd.readouterr().out

    # What RL trained on is not held out for a curve, whatever the pairs hold out.
    how = AlignSettings("./tiny", 24, None, 0, None, {}, "scripted", ("rl",))
    trained = {prompt.text for prompt in read_rl_prompts(out / "run", held_out=0.2).train}
    unseen = {prompt.text for prompt in unseen_prompts(out, stages_of(out, how))}
    assert unseen
    assert not unseen & trained
    wide = AlignSettings(
        "./tiny", 24, None, 0, None, {"rl": ["--held-out", "0.5"]}, "scripted", ("rl",)
    )
    assert len(unseen_prompts(out, stages_of(out, wide))) >= len(unseen)
