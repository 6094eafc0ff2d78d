"""The options of `train distill`: mistakes are exit code 2, before a model, with no file left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from selfinstruct.common.paths import shipped_file, shipped_prompt
from selfinstruct.common.records import LocalModel
from tests.train.tiny import tiny_model

ROWS = [{"prompt": f"Name colour {n}.", "completion": "red"} for n in range(20)]


@pytest.fixture
def words(tmp_path: Path, model: LocalModel) -> list[str]:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "prompt.txt").write_text("Answer with a colour.\n")
    (tmp_path / "empty.txt").write_text(" \n")
    found = ["train", "distill", "--data", str(data), "--model", str(model.path)]
    found += ["--out", str(tmp_path / "out"), "--max-length", "128", "--set", "bf16=false"]
    return [*found, "--answer-tokens", "6", "--steps", "2", "--fresh", "4"]


MISTAKES = [
    ([], "--teacher: there is nothing to learn"),
    (["--prompt", "FOLDER/no.txt"], "no such file; check --prompt"),
    (["--prompt", "FOLDER/empty.txt"], "is empty; give --prompt a text"),
    (["--prompt", "FOLDER/prompt.txt", "--kl", "both"], "both"),
    (["--prompt", "FOLDER/prompt.txt", "--steps", "0"], "0"),
    (["--prompt", "FOLDER/prompt.txt", "--set", "beta=0.5"], "set by selfinstruct itself"),
    (["--prompt", "FOLDER/prompt.txt", "--set", "temperatur=1"], "did you mean 'temperature'?"),
    (["--prompt", "FOLDER/prompt.txt", "--set", "use_vllm=true"], "needs the teacher's answers"),
    (["--prompt", "FOLDER/prompt.txt", "--max-length", "32"], "leave room for an answer of 6"),
    (
        ["--prompt", "FOLDER/prompt.txt", "--patience", "1", "--held-out", "0"],
        "needs prompts that are held out",
    ),
    (["--prompt", "FOLDER/prompt.txt", "--full", "--dora"], "--full: trains all weights"),
    (["--teacher", "FOLDER/tiny"], "is the student itself"),
    (["--teacher", "FOLDER/none"], "none"),
    (["--teacher", "FOLDER/other"], "its tokens are not those of"),
    (["--teacher", "FOLDER/wider"], "its network has 300 tokens and that of"),
]


@pytest.fixture
def others(tmp_path: Path) -> None:
    """A model of another vocabulary, and one whose network has more words than its tokenizer."""
    from transformers import AutoConfig

    tiny_model(tmp_path / "other", control=("<think>",))
    tiny_model(tmp_path / "wider")
    config = AutoConfig.from_pretrained(tmp_path / "wider")
    config.vocab_size = 300
    config.save_pretrained(tmp_path / "wider")


@pytest.mark.usefixtures("others")
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
    given = [word.replace("FOLDER", str(tmp_path)) for word in more]
    assert cli([*words, *given]) == 2
    assert message in " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_a_training_prints_what_it_did(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prompt = tmp_path / "prompt.txt"
    assert cli([*words, "--prompt", str(prompt), "--kl", "reverse"]) == 0
    said = capfd.readouterr()
    assert "trained on answers to 16 prompts" in said.out
    assert "the teacher's answers to 4 prompts, nats per token" in said.out
    for row in ("log-likelihood", "forward KL", "reverse KL", "tokens", "never stops"):
        assert row in said.out
    assert "few_held_out" in said.err
    assert f"--system teacher={prompt}" in said.err
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Distilled from a teacher with a prompt" in card
    assert "| what the teacher reads first | Answer with a colour. |" in card
    assert "| divergence | reverse KL |" in card
    assert cli([*words, "--prompt", str(prompt), "--kl", "reverse", "--resume"]) == 2
    assert "holds a trained model already" in capfd.readouterr().err


def test_the_shipped_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfinstruct.cli.options import text_or_file
    from selfinstruct.train.data.lessons import read_prompt

    monkeypatch.chdir(tmp_path)
    shipped = shipped_file("hhh.txt").read_text(encoding="utf-8").strip()
    assert all(word in shipped for word in ("helpful", "honest", "harmless"))
    assert read_prompt("hhh") == text_or_file("hhh") == shipped
    assert text_or_file("Be brief.") == "Be brief."
    # A file of the user's goes before it.
    (tmp_path / "hhh").write_text("My own.")
    assert read_prompt("hhh") == text_or_file("hhh") == "My own."
    assert shipped_prompt("other") is None


def test_the_shipped_prompt_with_values() -> None:
    from selfinstruct.train.data.lessons import read_prompt

    values = read_prompt("values")
    assert all(word in values for word in ("honest", "fair", "stereotype", "harm", "help"))
    assert values != read_prompt("hhh")
