"""Exports for other trainers, parts of a run, and system prompts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import selfinstruct as si
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import export_rows
from selfinstruct.dataset.trainers import TRAINERS, Trainer
from selfinstruct.decisions.decide import restore
from selfinstruct.store import Run

Generate = Callable[..., tuple[Run, str]]
BRIEF = "Answer briefly."


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=12)[0]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.name)
def test_a_trainer_gets_its_format_and_its_configuration(
    trainer: Trainer, run: Run, tmp_path: Path
) -> None:
    plain = si.export(run.path, tmp_path / "plain.jsonl", format=str(trainer.format))
    done = si.export(run.path, tmp_path / "out" / "tasks.jsonl", trainer=trainer.name)
    assert done.path.read_bytes() == plain.path.read_bytes()
    assert done.config is not None
    assert done.config.parent == done.path.parent
    assert done.path.name in done.config.read_text()


def test_the_configurations_name_what_the_rows_have(run: Run, tmp_path: Path) -> None:
    """Of each key that names a column or a role, the rows have it."""
    configs = {}
    for trainer in TRAINERS:
        file = tmp_path / trainer.name / "tasks.jsonl"
        done = si.export(run.path, file, trainer=trainer.name, system=BRIEF)
        assert done.config is not None
        configs[trainer.name] = (rows_of(file)[0], done.config.read_text())
    row, text = configs["trl"]
    (data,) = yaml.safe_load(text)["datasets"]
    assert data["path"] == "json"
    assert Path(data["data_files"]).is_file()
    assert [turn["role"] for turn in row["prompt"]] == ["system", "user"]
    assert [turn["role"] for turn in row["completion"]] == ["assistant"]
    row, text = configs["axolotl"]
    (data,) = yaml.safe_load(text)["datasets"]
    assert Path(data["path"]).is_file()
    assert set(data["message_property_mappings"].values()) == set(row[data["field_messages"]][0])
    assert {turn["role"] for turn in row["messages"]} >= set(data["roles_to_train"])
    row, text = configs["torchtune"]
    data = yaml.safe_load(text)["dataset"]
    assert Path(data["data_files"]).is_file()
    assert [turn["from"] for turn in row[data["conversation_column"]]] == ["system", "human", "gpt"]
    row, text = configs["llama-factory"]
    entry = json.loads(text)["tasks"]
    assert entry["file_name"] == "tasks.jsonl"
    turns, tags = row[entry["columns"]["messages"]], entry["tags"]
    roles = [turn[tags["role_tag"]] for turn in turns]
    assert roles == [tags["system_tag"], tags["user_tag"], tags["assistant_tag"]]
    assert all(turn[tags["content_tag"]] for turn in turns)


def test_trl_reads_its_configuration(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from trl import DatasetMixtureConfig, get_dataset
    from trl.data_utils import is_conversational

    done = si.export(run.path, tmp_path / "tasks.jsonl", trainer="trl")
    assert done.config is not None
    mixture = DatasetMixtureConfig(**yaml.safe_load(done.config.read_text()))
    data = get_dataset(mixture)["train"]
    assert len(data) == done.rows
    assert is_conversational(data[0])


def test_unsloth_gets_a_function_that_works(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    done = si.export(run.path, tmp_path / "tasks.jsonl", trainer="unsloth")
    assert done.config is not None
    names: dict[str, Any] = {}
    exec(compile(done.config.read_text(), str(done.config), "exec"), names)

    class Tokenizer:
        def apply_chat_template(self, turns: Any, tokenize: bool) -> str:
            assert not tokenize
            return "|".join(turn["role"] for turn in turns)

    data = names["read"](Tokenizer())
    assert set(data["text"]) == {"user|assistant"}


def test_other_data_sets_stay_in_the_list(run: Run, tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{"mine": {"file_name": "mine.json"}}')
    for name in ("tasks", "tasks", "others"):
        si.export(run.path, tmp_path / f"{name}.jsonl", trainer="llama-factory")
    assert list(json.loads((tmp_path / "dataset_info.json").read_text())) == [
        "mine",
        "tasks",
        "others",
    ]
    (tmp_path / "dataset_info.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"lists no data sets .*move it away"):
        si.export(run.path, tmp_path / "more.jsonl", trainer="llama-factory")
    assert not (tmp_path / "more.jsonl").exists()


def test_a_format_that_the_trainer_does_not_read(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tasks.jsonl"
    with pytest.raises(ConfigError, match="--for axolotl: reads messages, not alpaca"):
        si.export(run.path, out, trainer="axolotl", format="alpaca")
    with pytest.raises(ConfigError, match="no such trainer; give one of trl, axolotl"):
        si.export(run.path, out, trainer="axlotl")
    assert not out.exists()


SYSTEM: dict[Format, Callable[[dict[str, Any]], Any]] = {
    Format.MESSAGES: lambda row: row["messages"][0] == {"role": "system", "content": BRIEF},
    Format.CHAT_COMPLETION: lambda row: row["prompt"][0] == {"role": "system", "content": BRIEF},
    Format.SHAREGPT: lambda row: row["conversations"][0] == {"from": "system", "value": BRIEF},
    Format.ALPACA: lambda row: row["system"] == BRIEF,
    Format.PROMPT_COMPLETION: lambda row: row["prompt"].startswith(f"{BRIEF}\n\n### Task\n"),
}


@pytest.mark.parametrize("format", [f for f in Format if f is not Format.PARQUET])
def test_a_system_prompt_in_every_format(format: Format, run: Run, tmp_path: Path) -> None:
    done = si.export(run.path, tmp_path / "a.jsonl", format=str(format), system=BRIEF)
    assert all(SYSTEM[format](row) for row in rows_of(done.path))


def test_a_system_prompt_in_parquet(run: Run, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    done = si.export(run.path, tmp_path / "a.parquet", format="parquet", system=BRIEF)
    assert set(pq.read_table(done.path).column("system").to_pylist()) == {BRIEF}


def test_only_what_a_person_restored(run: Run, tmp_path: Path) -> None:
    rejected = next(
        candidate
        for number in run.rounds()
        for candidate in run.instructions(number)
        if candidate.reason == "over_target"
    )
    restore(run, rejected.id, by="ann")
    whole = si.export(run.path, tmp_path / "all.jsonl", format="alpaca").rows
    restored = [row for row in export_rows(run) if row.instruction_id == rejected.id]
    for how in ({"restored": True}, {"reasons": ["over_target"]}):
        done = si.export(run.path, tmp_path / "some.jsonl", format="alpaca", card=True, **how)
        assert done.rows == len(restored) < whole
        assert [row["instruction"] for row in rows_of(done.path)] == [
            row.instruction for row in restored
        ]
        card = (tmp_path / "README.md").read_text()
        option = "--restored" if "restored" in how else "--reason over_target"
        assert f"Only a part of the run: `{option}`." in card
    with pytest.raises(ConfigError, match="--reason silly: no such reason; there are: "):
        si.export(run.path, tmp_path / "none.jsonl", reasons=["silly"])
    with pytest.raises(ConfigError, match=r"none of .* rows is left by --reason too_short"):
        si.export(run.path, tmp_path / "none.jsonl", reasons=["too_short"])
    assert not (tmp_path / "none.jsonl").exists()


def test_only_likely_far_or_long_rows(run: Run, tmp_path: Path) -> None:
    rows = list(export_rows(run))
    middle = sorted(row.mean_logprob for row in rows)[len(rows) // 2]
    likely = [row.output for row in rows if row.mean_logprob >= middle]
    done = si.export(run.path, tmp_path / "a.jsonl", format="alpaca", min_logprob=middle)
    assert [row["output"] for row in rows_of(done.path)] == likely
    far = [row.output for row in rows if math.isnan(row.rouge_l) or row.rouge_l <= 0.5]
    assert len(far) > 0
    done = si.export(run.path, tmp_path / "a.jsonl", format="alpaca", max_rouge=0.5)
    assert [row["output"] for row in rows_of(done.path)] == far
    most = max(len(row.output.split()) for row in rows)
    done = si.export(run.path, tmp_path / "a.jsonl", format="alpaca", min_words=most)
    assert {len(row["output"].split()) for row in rows_of(done.path)} == {most}


def test_the_command_says_how_to_go_on(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tasks.jsonl"
    assert cli(["export", str(run.path), "--for", "axolotl", "--out", str(out)]) == 0
    assert f"for axolotl: put {tmp_path / 'tasks.axolotl.yaml'} into" in capfd.readouterr().err
    assert cli(["export", str(run.path), "--for", "trl", "--out", str(out), "--system", BRIEF]) == 0
    assert rows_of(out)[0]["prompt"][0]["content"] == BRIEF
    assert cli(["export", str(run.path), "--for", "vim", "--out", str(out)]) == 2
    assert "--for vim: no such trainer" in capfd.readouterr().err
