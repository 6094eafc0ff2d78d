"""`export`: what it replaces, what it refuses to replace, and what it says."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfinstruct import api
from selfinstruct.cli.app import run as cli
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.replace import RECORD
from selfinstruct.dataset.rows import export_rows
from selfinstruct.decisions.decide import Words, drop, edit
from selfinstruct.store import Run, open_run

Generate = Callable[..., tuple[Run, str]]
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "runs"


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=12)[0]


class Export:
    """Runs `export` of a run, and returns its messages."""

    def __init__(self, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
        self.run, self.capfd = run, capfd

    def __call__(self, out: Path, *more: str, code: int = 0, format: str = "alpaca") -> str:
        self.capfd.readouterr()
        words = ["export", str(self.run.path), "--format", format, "--out", str(out), *more]
        assert cli(words) == code
        return " ".join(self.capfd.readouterr().err.split())


@pytest.fixture
def export(run: Run, capfd: pytest.CaptureFixture[str]) -> Export:
    return Export(run, capfd)


@pytest.mark.parametrize("format", list(Format))
def test_the_same_export_every_day(export: Export, tmp_path: Path, format: Format) -> None:
    out = tmp_path / f"train.{format.suffix}"
    assert "replaced" not in export(out, format=format)
    first = out.read_bytes()
    again = export(out, format=format)
    assert re.search(r"replaced .*: 1\d rows of run, exported 20\d\d-", again)
    assert out.read_bytes() == first
    # A day later the run has other rows: what is replaced is still what an export wrote.
    drop(export.run, next(export_rows(export.run)).instruction_id, by="ann")
    assert "replaced" in export(out, format=format)
    assert "replaced" in export(out, format=format)
    lines = (tmp_path / RECORD).read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == [out.name, out.name]


def test_another_run_to_the_same_file(
    export: Export, tmp_path: Path, generate: Generate, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.jsonl"
    export(out)
    second = Export(generate(tmp_path / "second", stop__target=8, seed=3)[0], capfd)
    assert "rows of run, exported" in second(out)
    assert "rows of second, exported" in export(out, format="messages")


@pytest.mark.parametrize(
    "content",
    [
        b"mine\n",
        b'{"instruction": "Name a bird.", "input": "", "output": "A wren."}\n',
        b"PAR1 or so",
    ],
)
def test_what_no_export_wrote_stays(export: Export, tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "train.jsonl"
    out.write_bytes(content)
    message = export(out, code=2)
    assert "is there, and no export wrote it; give another --out, or --force" in message
    assert out.read_bytes() == content
    assert not (tmp_path / RECORD).exists()
    assert f"replaced {out}: {len(content)} bytes; it is there" in export(out, "--force")
    assert "replaced" in export(out)


def test_what_somebody_changed_stays(export: Export, tmp_path: Path) -> None:
    out = tmp_path / "train.jsonl"
    export(out)
    with out.open("a") as file:
        file.write('{"instruction": "My own.", "input": "", "output": "Mine."}\n')
    assert "was changed since it was exported" in export(out, code=2)
    assert "My own." in out.read_text()
    export(out, "--force")
    assert "My own." not in out.read_text()


@pytest.mark.parametrize("format", list(Format))
def test_an_export_of_an_earlier_version_is_known_by_its_rows(
    export: Export, tmp_path: Path, format: Format
) -> None:
    out = tmp_path / f"train.{format.suffix}"
    export(out, format=format)
    (tmp_path / RECORD).unlink()
    assert "an earlier export" in export(out, format=format)


def test_rows_of_the_run_among_others_are_not_the_runs_export(
    export: Export, tmp_path: Path
) -> None:
    """A person mixed them: what is theirs would be lost."""
    out = tmp_path / "train.jsonl"
    export(out)
    (tmp_path / RECORD).unlink()
    out.write_text(out.read_text() + '{"instruction": "Mine", "input": "", "output": "Mine"}\n')
    assert "no export wrote it" in export(out, code=2)


@pytest.mark.parametrize(
    ("name", "format", "refused"),
    [
        ("train.parquet", "alpaca", "give a name that ends in .jsonl or .json or .ndjson"),
        ("train.csv", "messages", "messages is no .csv file"),
        ("train.jsonl.gz", "messages", "messages is no .gz file"),
        ("train.jsonl", "parquet", "give a name that ends in .parquet or .pq"),
        ("train.JSONL", "alpaca", ""),
        ("train.json", "alpaca", ""),
        ("train", "parquet", ""),
    ],
)
def test_an_ending_says_the_format(
    export: Export, tmp_path: Path, name: str, format: str, refused: str
) -> None:
    out = tmp_path / "out" / name
    message = export(out, format=format, code=2 if refused else 0)
    assert refused in message
    assert out.exists() == (not refused)
    assert out.parent.exists() == (not refused)


def test_a_readme_of_the_user_needs_force(export: Export, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert "or give --force" in export(tmp_path / "x.jsonl", "--card", code=2)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert not (tmp_path / "x.jsonl").exists()
    export(tmp_path / "x.jsonl", "--card", "--force")
    assert "dataset card by selfinstruct" in (tmp_path / "README.md").read_text()


def test_how_many_outputs_are_the_teachers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(GOLDEN / "answered", tmp_path / "answered")
    run = open_run(tmp_path / "answered")
    message = Export(run, capfd)(tmp_path / "x.jsonl", "--answers", "prefer-teacher")
    own = {row.id for row in export_rows(run)}
    teachers = sum(row.id not in own for row in api.open_run(run.path).tasks(answers="teacher"))
    assert 0 < teachers < len(own)
    told = f"{teachers} outputs are the teacher's, {len(own) - teachers} are the run's own"
    assert told in message
    assert "teacher's" not in Export(run, capfd)(tmp_path / "y.jsonl")


def test_unknown_scores_are_null(export: Export, tmp_path: Path) -> None:
    rows = list(export_rows(export.run))
    assert any(math.isnan(row.rouge_l) for row in rows)
    out = tmp_path / "x.parquet"
    export(out, format="parquet")
    column = pq.read_table(out)["rouge_l"]
    assert column.null_count == sum(math.isnan(row.rouge_l) for row in rows)
    known = [value for value in column.to_pylist() if value is not None]
    assert known == [row.rouge_l for row in rows if not math.isnan(row.rouge_l)]
    again = api.open_run(export.run.path).to_dataset()
    assert again["rouge_l"][:] == column.to_pylist()


def test_runs_of_before_export_what_they_did(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(GOLDEN / "decided", tmp_path / "decided")
    Export(open_run(tmp_path / "decided"), capfd)(tmp_path / "x.parquet", format="parquet")
    column = pq.read_table(tmp_path / "x.parquet")["rouge_l"]
    assert column.null_count == 0
    assert any(math.isnan(value) for value in column.to_pylist())


def test_the_runs_own_files_cannot_be_forced(export: Export) -> None:
    before = (export.run.path / "run.yaml").read_bytes()
    message = export(export.run.path / "run.yaml", "--force", code=2)
    assert "is a part of the run itself; give another --out" in message
    assert (export.run.path / "run.yaml").read_bytes() == before


def test_a_record_that_is_damaged_is_no_permission(export: Export, tmp_path: Path) -> None:
    out = tmp_path / "train.jsonl"
    out.write_bytes(b"mine")
    (tmp_path / RECORD).write_text('{"file": "train.jsonl"}\nnot json\n')
    assert "no export wrote it" in export(out, code=2)


def test_controls_are_left_out_if_asked(export: Export, tmp_path: Path) -> None:
    out = tmp_path / "train.jsonl"
    first = next(export_rows(export.run))
    edit(export.run, first.instruction_id, Words(text="Name\u202e a\u200b bird."), by="ann")

    def said() -> list[str]:
        return [json.loads(line)["instruction"] for line in out.read_text().splitlines()]

    export(out)
    assert "Name\u202e a\u200b bird." in said()
    export(out, "--plain-controls")
    assert "Name a bird." in said()


@pytest.mark.parametrize("damage", ["lost line", "torn line", "other line"])
def test_a_damaged_decision_stops_an_export(export: Export, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "train.jsonl"
    for id in [row.instruction_id for row in export_rows(export.run)][:2]:
        drop(export.run, id, by="ann")
    file = export.run.path / "overrides.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    damaged = {
        "lost line": lines[:1],
        "torn line": [lines[0], lines[1][:-9]],
        "other line": [lines[0].replace("drop", "undo"), lines[1]],
    }
    file.write_text("".join(damaged[damage]))
    told = export(out, code=4)
    assert "overrides.jsonl" in told
    assert "--ignore-damaged-decisions" in told
    assert not out.exists()
    export(out, "--ignore-damaged-decisions")
    assert out.exists()
