"""Exports are read as they are by `datasets.load_dataset` and taken by TRL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import export_rows
from selfinstruct.store import Run

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=12)[0]


def load(path: Path, format: Format, cache: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    kind = "parquet" if format is Format.PARQUET else "json"
    return datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(cache))


@pytest.mark.parametrize("format", list(Format))
def test_formats_load(run: Run, tmp_path: Path, format: Format) -> None:
    out = tmp_path / f"data.{'parquet' if format is Format.PARQUET else 'jsonl'}"
    rows = list(export_rows(run))
    assert export(run, format, out) == len(rows) >= 12
    loaded = load(out, format, tmp_path / "cache")
    assert len(loaded) == len(rows)
    first, source = loaded[0], rows[0]
    asked = source.instruction + (f"\n\n{source.input}" if source.input else "")
    if format is Format.MESSAGES:
        assert first["messages"] == [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": source.output},
        ]
    elif format is Format.CHAT_COMPLETION:
        assert first["prompt"] == [{"role": "user", "content": asked}]
        assert first["completion"] == [{"role": "assistant", "content": source.output}]
    elif format is Format.SHAREGPT:
        assert [turn["from"] for turn in first["conversations"]] == ["human", "gpt"]
        assert first["conversations"][1]["value"] == source.output
    elif format is Format.PROMPT_COMPLETION:
        assert source.instruction in first["prompt"]
        assert first["prompt"].endswith("### Answer\n")
        assert first["completion"] == source.output
    else:
        assert (first["instruction"], first["input"], first["output"]) == (
            source.instruction,
            source.input,
            source.output,
        )


@pytest.mark.parametrize("format", [Format.MESSAGES, Format.PROMPT_COMPLETION])
def test_trl_recognises_the_format(run: Run, tmp_path: Path, format: Format) -> None:
    data_utils = pytest.importorskip("trl.data_utils")
    out = tmp_path / "data.jsonl"
    export(run, format, out)
    first = load(out, format, tmp_path / "cache")[0]
    assert data_utils.is_conversational(first) == (format is Format.MESSAGES)
    assert {"messages"} <= set(first) or {"prompt", "completion"} <= set(first)


def test_only_accepted_instances_of_accepted_tasks(run: Run) -> None:
    tasks = {r.id for n in run.rounds() for r in run.instructions(n) if r.verdict == ACCEPTED}
    rows = list(export_rows(run))
    assert {row.instruction_id for row in rows} == tasks
    assert all(row.output for row in rows)


def test_an_export_is_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        export(run, Format.ALPACA, tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        export(run, Format.ALPACA, blocked / "out.jsonl")


def test_a_run_without_tasks_exports_nothing(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "empty", lambda request: "")
    with pytest.raises(ConfigError, match="no accepted task"):
        export(run, Format.ALPACA, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
