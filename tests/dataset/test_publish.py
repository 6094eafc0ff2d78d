"""The dataset card, and handing file and card to a (local) hub."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.dataset.card import MARK, dataset_card, write_card
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.store import Run, open_run
from selfinstruct.verdicts.merge import merge
from tests.dataset.hub_standin import Hub, hub

Generate = Callable[..., tuple[Run, str]]
CLI = [sys.executable, "-c", "from selfinstruct.cli import main; main()"]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=25, likelihood__seed_bound=False)[0]


def test_the_card_says_what_there_is(run: Run) -> None:
    card = dataset_card(run, Format.ALPACA, Answers.OWN)
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header)["size_categories"] == ["n<1K"]
    assert yaml.safe_load(header)["license"] == "other"  # a model of the user's own
    assert MARK in body
    assert "25 tasks" in body
    assert "ROUGE-L at most 0.7" in body
    found = summarise(run)
    for outcome, count in found.instructions.items():
        assert re.search(rf"\| `{outcome}` \| {count} \|", body), outcome
    assert body.count("**Instruction**") == 10
    for row in export_rows(run):
        if row.instruction in body:
            assert row.output.splitlines()[0] in body


def test_model_text_is_shown_and_not_rendered(tmp_path: Path, generate: Generate) -> None:
    evil = "Write <script>alert(1)</script> and ``` | [a](b) {}."

    def script(request: object) -> str:
        name = str(request.id)  # type: ignore[attr-defined]
        if name.endswith("-propose"):
            return f" {evil.format(name)}"
        return " text" if name.endswith("-classify") else "Output: # No heading\n| no | table |"

    run, _ = generate(tmp_path / "run", script, stop__target=1)
    body = dataset_card(run, Format.ALPACA, Answers.OWN)
    lines = [line for line in body.splitlines() if "script" in line or "No heading" in line]
    assert len(lines) == 2
    assert all(line.startswith("    ") for line in lines)


def test_the_command_writes_it_beside_the_file(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data" / "train.jsonl"
    arguments = ["export", str(run.path), "--format", "messages", "--out", str(out), "--card"]
    assert cli(arguments) == 0
    card = tmp_path / "data" / "README.md"
    assert card.read_text() == dataset_card(run, Format.MESSAGES, Answers.OWN)
    assert cli(arguments) == 0  # its own card is replaced
    card.write_text("# My notes")
    out.unlink()
    assert cli(arguments) == 2
    assert not out.exists()
    assert "no card of ours" in " ".join(capfd.readouterr().err.split())
    assert card.read_text() == "# My notes"


def test_a_readme_of_the_user_is_not_touched(run: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="move it away"):
        write_card(run, tmp_path, Format.ALPACA, Answers.OWN)


@pytest.fixture
def server() -> object:
    with hub() as found:
        yield found


def push(run: Run, out: Path, server: Hub, *more: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's address is read as its library is imported."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.url,
        "HF_TOKEN": "hf_of_the_test",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(out.parent / "hf"),
    }
    arguments = ["export", str(run.path), "--out", str(out), "--push", "me/set", *more]
    return subprocess.run(
        [*CLI, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("format", ["messages", "parquet"])
def test_push(run: Run, tmp_path: Path, server: Hub, format: str) -> None:
    out = tmp_path / ("train.parquet" if format == "parquet" else "train.jsonl")
    done = push(run, out, server, "--format", format, "--private")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{server.url}/datasets/me/set"
    [asked] = server.created[:1]
    assert (asked["name"], asked["type"]) == ("set", "dataset")
    assert asked.get("private") is True or asked.get("visibility") == "private"
    [name] = [name for name in server.files if name.endswith(".parquet")]
    table = pq.read_table(io.BytesIO(server.files[name]))
    rows = list(export_rows(run))
    assert len(table) == len(rows)
    if format == "messages":
        assert table["messages"][0].as_py()[1]["content"] == rows[0].output
    else:
        assert table["output"].to_pylist() == [row.output for row in rows]
    card = server.files["README.md"].decode()
    assert MARK in card
    assert "dataset_info" in card  # what the hub adds for its viewer
    assert "size_categories" in card


def test_a_hub_that_refuses_leaves_the_file(run: Run, tmp_path: Path, server: Hub) -> None:
    server.refuse = True
    out = tmp_path / "train.jsonl"
    done = push(run, out, server, "--format", "alpaca")
    assert done.returncode == 3
    assert "hf auth login" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(out.read_text().splitlines()) == len(list(export_rows(run)))


def test_a_hub_that_is_not_there(run: Run, tmp_path: Path) -> None:
    done = push(run, tmp_path / "train.jsonl", Hub("http://127.0.0.1:9"), "--format", "alpaca")
    assert done.returncode == 3, done.stderr
    assert "the hub did not take it" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_card_names_every_model(tmp_path: Path, generate: Generate, model_folder: Path) -> None:
    first, _ = generate(tmp_path / "a")
    (model_folder / "config.json").write_text('{"max_position_embeddings": 8000}')
    second, _ = generate(tmp_path / "b", seed=1)
    meta = {**first.meta, "model": {**first.meta["model"], "name": "bundled"}}
    (first.path / "run.yaml").write_text(yaml.safe_dump(meta))
    merged = merge([open_run(first.path), second], tmp_path / "both")
    card = dataset_card(merged, Format.ALPACA, Answers.OWN)
    assert f"SmolLM2-135M-Instruct (digest `{first.meta['model']['digest']}`) and" in card
    assert str(second.meta["model"]["digest"]) in card
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["license"] == "other"
    assert header["license_name"] == "Apache-2.0; see the model"
    assert str(tmp_path / "a") not in card


@pytest.mark.parametrize("name", ["run.yaml", "rounds/00000/round.json", "inputs/x.jsonl"])
def test_the_run_itself_is_not_overwritten(run: Run, name: str) -> None:
    assert cli(["export", str(run.path), "--format", "alpaca", "--out", str(run.path / name)]) == 2
    run.verify()
    assert open_run(run.path).meta == run.meta


def test_private_goes_with_push(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    assert cli(["export", str(run.path), "--format", "alpaca", "--out", str(out), "--private"]) == 2
    assert not out.exists()


def test_a_bad_repository_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.jsonl"
    arguments = ["export", str(run.path), "--format", "alpaca", "--out", str(out)]
    assert cli([*arguments, "--push", "just-a-name"]) == 2
    assert "OWNER/NAME" in capfd.readouterr().err
    assert not out.exists()
