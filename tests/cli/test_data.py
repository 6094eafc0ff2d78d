"""Data of any format through the commands that train on it: what is said, learnt and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import selfinstruct as si
from selfinstruct.cli.app import run as cli
from selfinstruct.cli.app import with_values
from selfinstruct.store import Run
from selfinstruct.train.data.preference_rows import read_preferences
from selfinstruct.train.data.rows import read_rows
from tests.inputs.some_rows import ROWS, answer, array, assistant, data, lines, question, user
from tests.train import dpo_runs
from tests.train.tiny import tiny_model

Generate = Callable[..., tuple[Run, str]]
QUICK = ["--epochs", "1", "--max-length", "256", "--set", "bf16=false"]


def train_sft(folder: Path, *words: str | Path) -> int:
    model = tiny_model(folder / "tiny")
    arguments = ["train", "sft", *map(str, words), "--model", str(model.path)]
    return cli([*arguments, "--out", str(folder / "out"), *QUICK])


def test_a_pretty_array_is_learnt_and_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = data(tmp_path, "alpaca")
    assert train_sft(tmp_path, "--data", file) == 0
    captured = capfd.readouterr()
    said = " ".join(captured.err.split())
    assert "read 12 rows as alpaca: instruction, input, output" in said
    assert "trained on 11 rows" in captured.out
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert "sources" not in report


def test_a_mixture_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, second = data(tmp_path, "alpaca"), tmp_path / "more.jsonl"
    lines(
        second,
        [*(ROWS["messages"](n) for n in range(12, 20)), {"instruction": "Sing.", "output": 4}],
    )
    own = lines(tmp_path / "held.jsonl", [{"prompt": "Sing a song.", "completion": "La la."}])
    words = ["--data", first, "--data", f"{second}@2", "--validation-data", own, "--skip-invalid"]
    assert train_sft(tmp_path, *words) == 0
    captured = capfd.readouterr()
    said = " ".join(captured.err.split())
    assert "left out 1 row: 1 output: no text" in said
    assert f"{second}: 8 rows, weight 2: 16 in an epoch" in said
    assert "trained on 28 rows" in captured.out
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert [source["learnt"] for source in report["sources"]] == [12, 16]
    assert report["validation_rows"] == 1
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`alpaca.json`; `more.jsonl`" in card
    assert "| mixture | `alpaca.json` 12 rows, weight 1; `more.jsonl` 8 rows, weight 2 |" in card
    assert "| validated on | `held.jsonl` |" in card


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kto", "an answer that a person did not like; leave those out, and the column with them"),
        ("preference", "pairs are for `train dpo`, `train reward` and `train kto`"),
        ("ranked", "ranked answers are for `train reward --ranked`"),
        ("texts", "there is no answer to learn"),
    ],
)
def test_what_sft_refuses(
    name: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = data(tmp_path, name)
    assert train_sft(tmp_path, "--data", file) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert f"{file}:2: is read as {name}" in said
    assert message in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--validation-data", "FILE", "--held-out", "0.2"], "leave --held-out out"),
        (["--format", "alpacca"], "--format alpacca: no such format"),
        (["--columns", "output"], "--columns output: give OURS=THEIRS pairs"),
        (["--columns", "output=reply"], "FILE has no such column; it has"),
        (["--data", "FILE@0"], "the weight is 0"),
        (["--data", "none/of/these.json"], "no such file"),
        (["--validation-data", "none.json"], "none.json: no such file; check --validation-data"),
    ],
)
def test_options_that_cannot_be_used(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = str(data(tmp_path, "alpaca"))
    given = [word.replace("FILE", file) for word in words]
    assert train_sft(tmp_path, "--data", file, *given) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert message.replace("FILE", file) in said
    assert not (tmp_path / "out").exists()


COMMANDS = {
    "seeds": ["generate", "--seeds", "FILE"],
    "avoid": ["generate", "--avoid", "FILE"],
    "topics": ["generate", "--topics", "FILE"],
    "sft": ["train", "sft", "--data", "FILE", "--model", "none"],
    "decontaminate": ["train", "sft", "--data", "GOOD", "--decontaminate", "FILE", "--model", "no"],
    "dpo": ["train", "dpo", "--data", "FILE", "--model", "none"],
    "dpo held out": [
        "train",
        "dpo",
        "--data",
        "GOOD",
        "--validation-data",
        "FILE",
        "--model",
        "no",
    ],
    "reward": ["train", "reward", "--data", "FILE", "--model", "none"],
    "reward ranked": ["train", "reward", "--ranked", "--data", "FILE", "--model", "none"],
    "prefer": ["prefer", "FILE", "--policy", "none"],
    "best-of": ["best-of", "FILE", "--policy", "none", "--measure", "judge", "--judge", "none"],
    "choices": ["evaluate", "--choices", "FILE", "--model", "a=none"],
    "pairs": ["evaluate", "--pairs", "FILE", "--model", "a=none"],
    "evaluate": ["evaluate", "--tasks", "FILE", "--model", "a=none"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_row_stops_every_command(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = array(tmp_path / "bad.json", [ROWS["alpaca"](0), {"instruction": "Sing.", "output": 5}])
    good = data(tmp_path, "preference" if command.startswith("dpo") else "alpaca")
    files = {"FILE": str(bad), "GOOD": str(good)}
    words = [files.get(word, word) for word in COMMANDS[command]]
    out = tmp_path / "out"
    assert cli([*words, "--out", str(out)]) == 2
    said = "".join(capfd.readouterr().err.split())
    assert f'{bad}:7:"output"isnotatextbut5;giveatext' in said
    assert not out.exists()


def test_our_own_parquet_is_learnt(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=12)
    si.export(run.path, tmp_path / "run.parquet", format="parquet")
    rows = read_rows(tmp_path / "run.parquet").rows
    own = read_rows(run.path).rows
    assert [(row.users, row.answer) for row in rows] == [(row.users, row.answer) for row in own]


def whole(n: int) -> dict[str, Any]:
    """A pair as whole conversations, without a column `prompt`."""
    before = [user("Hello there."), assistant("Hello! What do you want to know?")]
    asked = [*before, user(question(n))]
    return {"chosen": [*asked, assistant(answer(n))], "rejected": [*asked, assistant("No idea.")]}


def with_prompt(n: int) -> dict[str, Any]:
    row = whole(n)
    prompt, chosen, rejected = row["chosen"][:-1], row["chosen"][-1:], row["rejected"][-1:]
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_whole_conversations_have_the_loss_of_pairs_with_a_prompt(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "tiny")
    losses = []
    for name, row in (("whole", whole), ("prompt", with_prompt)):
        file = array(tmp_path / f"{name}.json", [row(n) for n in range(20)])
        split = read_preferences(file, held_out=0.2)
        result = dpo_runs.train(model, tmp_path / name, split, options={"num_train_epochs": 1})
        losses.append([loss for _, loss in result.losses])
        assert split.train[0].messages[-1] in (("user", question(0)), user(question(0)))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert len(losses[0]) == 2


def test_dpo_says_what_its_mixture_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = tiny_model(tmp_path / "tiny")
    first = data(tmp_path, "preference", 10)
    second = array(tmp_path / "whole.json", [whole(n) for n in range(10)])
    words = ["train", "dpo", "--data", str(first), "--data", f"{second}@2", "--model"]
    words += [str(model.path), "--out", str(tmp_path / "out"), "--fresh", "2"]
    assert cli([*words, "--fresh-tokens", "4", *QUICK]) == 0
    said = " ".join(capfd.readouterr().err.split())
    assert f"{second}: 8 rows, weight 2: 16 in an epoch, 2 held out" in said
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert [source["learnt"] for source in report["sources"]] == [8, 16]
    assert report["train_pairs"] == 24
    assert "preferences `preference.json`, `whole.json`" in (tmp_path / "out/README.md").read_text()


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ([], []),
        (["--with-seeds"], ["--with-seeds=1"]),
        (["--with-seeds", "--data", "x"], ["--with-seeds=1", "--data", "x"]),
        (["--with-seeds", "3", "--data", "x"], ["--with-seeds", "3", "--data", "x"]),
        (["--with-seeds=2"], ["--with-seeds=2"]),
    ],
)
def test_the_weight_of_seeds_may_be_left_out(words: list[str], read: list[str]) -> None:
    assert with_values(words) == read
