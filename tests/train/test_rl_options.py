"""The options of `train rl`: every mistake is exit code 2, before a model, and leaves no file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from selfinstruct.common.records import LocalModel
from selfinstruct.train.rewards.kinds import KINDS

ROWS = [{"prompt": f"Name colour {n}.", "completion": "red"} for n in range(20)]


@pytest.fixture
def words(tmp_path: Path, model: LocalModel) -> list[str]:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    found = ["train", "rl", "--data", str(data), "--model", str(model.path)]
    found += ["--out", str(tmp_path / "out"), "--max-length", "128", "--set", "bf16=false"]
    return [*found, "--answer-tokens", "6", "--k", "2", "--steps", "2", "--fresh", "4"]


MISTAKES = [
    ([], "Missing option"),
    (["--reward", "lenght"], "there is no such reward"),
    (["--reward", "check"], "20 of 20 prompts lack a check"),
    (["--reward", "regex:("], "missing )"),
    (["--reward", "no_module:score"], "cannot be imported"),
    (["--reward", "words", "--algo", "ppo"], "ppo"),
    (["--reward", "words", "--beta", "-1"], "-1"),
    (["--reward", "words", "--k", "1"], "1"),
    (["--reward", "words", "--gold", "words"], "is what is rewarded"),
    (["--reward", "words", "--stop-on-hacking"], "needs an independent scorer"),
    (
        ["--reward", "words", "--patience", "1", "--held-out", "0"],
        "needs prompts that are held out",
    ),
    (["--reward", "words", "--set", "num_generations=4"], "set by selfinstruct itself"),
    (["--reward", "words", "--set", "epsilonn=1"], "did you mean 'epsilon'?"),
    (["--reward", "words", "--set", "epsilon=wide"], "should be a valid number"),
    (["--reward", "words", "--set", "use_vllm=3"], "should be a valid boolean"),
    (["--reward", "words", "--max-length", "16"], "leave room for an answer of 6 tokens"),
    (["--reward", "words", "--lora-targets", "q_prj"], "did you mean 'q_proj'?"),
    (["--reward", "words", "--full", "--dora"], "--full: trains all weights"),
    (["--reward", "words", "--load-in-4bit"], "needs a GPU"),
    (["--reward", "words", "--held-out", "0.2", "--validation-data", "x"], "leave --held-out out"),
]


@pytest.mark.parametrize(
    ("more", "message"),
    MISTAKES,
    ids=lambda each: " ".join(each)[:60] if isinstance(each, list) else "",
)
def test_every_mistake_is_said_before_a_model_is_loaded(
    words: list[str],
    more: list[str],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import PreTrainedModel

    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", loaded)
    assert cli([*words, *more]) == 2
    assert message in " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_a_training_prints_what_it_did(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli([*words, "--reward", "words", "--gold", "reference", "--algo", "grpo"]) == 0
    said = capfd.readouterr()
    assert "trained on answers to 16 prompts" in said.out
    for row in ("reward", "gold score", "KL from the reference", "entropy", "never stops"):
        assert row in said.out
    assert "few_held_out" in said.err
    assert "selfinstruct evaluate --model before=" in said.err
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Trained on rewards, by GRPO" in card
    assert "| reward | `words` |" in card
    assert cli([*words, "--reward", "words", "--resume"]) == 2
    assert "holds a trained model already" in capfd.readouterr().err


def test_the_help_names_kinds_that_there_are() -> None:
    from selfinstruct.cli.train_rl import rl

    help_text = rl.__annotations__["reward"]
    named = {"model", "reference", "check", "likelihood", "words", "regex"}
    assert named <= {kind.name for kind in KINDS}
    for name in named:
        assert name in help_text


def test_a_function_that_fails_can_be_repaired_and_continued(
    words: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores_of_mine.py").write_text("def score(completions):\n    return 1 / 0\n")
    assert cli([*words, "--reward", "scores_of_mine:score"]) == 3
    assert "raised ZeroDivisionError" in " ".join(capfd.readouterr().err.split())
