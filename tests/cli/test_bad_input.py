"""What a user gets wrong: exit code 2, one clear message, no traceback, no files left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.cli.app import run
from selfinstruct.store import Run
from tests.conftest import make_seed

Generate = Callable[..., tuple[Run, str]]


def refused(arguments: list[str], out: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; return its message."""
    before = sorted(out.parent.rglob("*"))
    code = run(arguments)
    captured = capfd.readouterr()
    message = captured.err
    assert code == 2, message
    assert "Traceback" not in captured.out + message
    assert sorted(out.parent.rglob("*")) == before, "files were left behind"
    return " ".join(message.split())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder / "run"


GOOD = json.dumps(make_seed(1)) + "\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such file; check --seeds"),
        (b"", "holds no seed task"),
        (b"\n\n", "holds no seed task"),
        (b"\x7fELF\x00\xff\xfe", "is not UTF-8 text (byte"),
        (b"{'id': 1}\n", ":1: is not JSON"),
        (GOOD.encode() + b"[]\n", ":2: is [], no object"),
        (
            GOOD.encode() + json.dumps(make_seed(2, instances=[])).encode(),
            ':2: "instances" is empty',
        ),
        (GOOD.encode() * 2, ":2: \"id\" 'seed_task_1' was used on line 1"),
        (json.dumps(make_seed(1, instruction=" ")).encode(), ':1: "instruction" is empty'),
    ],
)
def test_bad_seeds(
    content: bytes | None,
    expected: str,
    tmp_path: Path,
    out: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    seeds = tmp_path / "my_seeds.jsonl"
    if content is not None:
        seeds.write_bytes(content)
    message = refused(["generate", "--out", str(out), "--seeds", str(seeds)], out, capfd)
    assert "my_seeds.jsonl" in message
    assert expected in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "novelty.treshold=0.5"], "unknown key 'novelty.treshold'"),
        (["--set", "novelty.threshold=1.5"], "novelty.threshold"),
        (["--set", "novelty.threshold=high"], "novelty.threshold"),
        (["--target", "-3"], "stop.target"),
        (["--target", "many"], "--target"),
        (["--min-yield", "2"], "stop.min_yield"),
        (["--dtype", "int3"], "--dtype"),
        (["--set", "novelty.threshold"], "write key=value"),
        (["--config", "/no/such/file.yaml"], "check --config"),
        (["--prompts", "/no/such/folder"], "check --prompts"),
        (["--model", "./no/such/model"], "check --model"),
        (["--model", "not a model!"], "check --model"),
        (["--model", "gemma-3-270m"], "--accept-license"),
        (["--set", "propose.from_seeds=9"], "from_seeds 9 is above in_context 8"),
        (["--set", "engine.options.dtype=float32"], "set model.dtype instead"),
        (["--set", "engine.options.logprobs_mode=raw_logits"], "the scores depend on it"),
    ],
)
def test_bad_options(
    arguments: list[str],
    expected: str,
    out: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SELFINSTRUCT_CACHE", str(tmp_path / "cache"))
    assert expected in refused(["generate", "--out", str(out), *arguments], out, capfd)


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--out", f"/tmp/{LONG}"],
        ["generate", "--out", "run", "--model", f"./{LONG}"],
        ["generate", "--out", "run", "--seeds", "~nosuchuser/seeds.jsonl"],
        ["generate", "--out", "run", "--seeds", f"{LONG}.jsonl"],
        ["audit", "summary", LONG],
    ],
)
def test_names_that_no_file_can_have(
    arguments: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "check" in refused(arguments, tmp_path / "nothing", capfd)


def test_a_system_prompt_that_is_no_file(tmp_path: Path) -> None:
    from selfinstruct.cli.options import text_or_file

    for text in ("~nosuchuser, hello", "Be kind. " * 200, "a\0b"):
        assert text_or_file(text) == text
    (tmp_path / "system.txt").write_text("Be kind.\n")
    assert text_or_file(str(tmp_path / "system.txt")) == "Be kind."


def test_bad_config_file(tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("novelty:\n  threshold: -1\nspeed: fast\n")
    message = refused(["generate", "--out", str(out), "--config", str(config)], out, capfd)
    assert "config.yaml: novelty.threshold" in message
    assert "unknown key 'speed'" in message


def test_output_beneath_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "run"
    assert "is a file; give another --out" in refused(["generate", "--out", str(out)], out, capfd)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"readme.txt": "hello"}, "no config.json"),
        ({"config.json": "{"}, "config.json cannot be read"),
        ({"config.json": "{}"}, "no weights"),
        ({"config.json": "{}", "model.safetensors": ""}, "no tokenizer"),
    ],
)
def test_a_folder_that_is_no_model(
    files: dict[str, str],
    expected: str,
    tmp_path: Path,
    out: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    arguments = ["generate", "--out", str(out), "--model", str(folder)]
    assert expected in refused(arguments, out, capfd)


def test_a_context_that_is_too_short(
    tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "model"
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    (folder / "config.json").write_text('{"max_position_embeddings": 256}')
    (folder / "model.safetensors").write_bytes(b"")
    arguments = ["generate", "--out", str(out), "--model", str(folder)]
    message = refused(arguments, out, capfd)
    assert "context of 256 tokens is too short" in message
    assert "propose" in message or "instances" in message


def test_an_existing_run(
    tmp_path: Path, generate: Generate, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    generate(out)
    capfd.readouterr()
    assert "--resume continues it" in refused(["generate", "--out", str(out)], out, capfd)
    arguments = ["generate", "--out", str(out), "--resume", "--seed", "5"]
    assert "seed: 0 -> 5" in refused(arguments, out, capfd)


def test_a_finished_run_has_nothing_to_do(
    tmp_path: Path, generate: Generate, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    generate(out)
    assert run(["generate", "--out", str(out), "--resume"]) == 0
    message = " ".join(capfd.readouterr().err.split())
    assert "the target is reached" in message
    assert "10 from" in message


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty run.yaml": lambda run: (run / "run.yaml").write_text(""),
    "list in run.yaml": lambda run: (run / "run.yaml").write_text("- 1\n"),
    "no config": lambda run: _edit(run / "run.yaml", "config:", "confit:"),
    "bad config": lambda run: _edit(run / "run.yaml", "threshold: 0.7", "threshold: seven"),
    "no rounds": lambda run: shutil.rmtree(run / "rounds"),
    "no prompts": lambda run: shutil.rmtree(run / "inputs" / "prompts"),
    "one prompt less": lambda run: (run / "inputs/prompts/propose.base.jinja").unlink(),
    "no seeds": lambda run: (run / "inputs" / "seeds.jsonl").unlink(),
    "other seeds": lambda run: _edit(run / "inputs" / "seeds.jsonl", "proverb", "saying"),
    "empty round.json": lambda run: (run / "rounds/00000/round.json").write_text("{}"),
    "list in round.json": lambda run: (run / "rounds/00000/round.json").write_text("[]"),
    "round.json without tasks": lambda run: _edit(
        run / "rounds/00000/round.json", '"tasks":', '"tusks":'
    ),
    "cut table": lambda run: os.truncate(run / "rounds/00000/instances.parquet", 200),
    "no table": lambda run: (run / "rounds/00000/instances.parquet").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_exits_with_4(
    damage: str, generate: Generate, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    generate(out)
    DAMAGES[damage](out)
    assert run(["generate", "--out", str(out), "--resume", "--target", "99"]) == 4
    assert run(["audit", "replay", str(out)]) == 4
    message = capfd.readouterr().err
    assert "Traceback" not in message
    assert "restore" in message
    inputs = "prompt" in damage or "seeds" in damage
    assert run(["audit", "summary", str(out)]) == (0 if inputs else 4)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["audit", "summary", "."], "is not a run"),
        (["export", ".", "--format", "alpaca", "--out", "x.jsonl"], "is not a run"),
        (["export", ".", "--format", "xml", "--out", "x"], "--format"),
        (["models", "prepare", "gpt-9"], "no model 'gpt-9' to prepare"),
        (["models", "prepare", "gemma-3-270m"], "--accept-license"),
        (["dance"], "dance"),
    ],
)
def test_other_commands(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in refused(arguments, tmp_path / "nothing", capfd)
