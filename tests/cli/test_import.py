"""`selfinstruct import`: the page of the docs runs; bad input is refused, and leaves nothing."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.inputs.task_templates import parse_templates, shipped_names
from selfinstruct.store import open_run
from selfinstruct.verdicts.replay import replay

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "import.md").read_text(encoding="utf-8")
ROW = {"text": "The soup was hot.", "label": 1}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text(json.dumps(ROW) + "\n")
    return tmp_path


def test_the_page_runs(here: Path) -> None:
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for name, text in re.findall(r"cat > (\S+) <<'END'\n(.*?)END\n", block, re.DOTALL):
            Path(name).write_text(text, encoding="utf-8")
        for line in block.splitlines():
            if line.startswith("selfinstruct "):
                assert cli(shlex.split(line)[1:]) == 0, line
    for name in ("reviews", "stars"):
        run = open_run(Path("outputs") / name)
        assert replay(run) == []
        assert run.info(0)["tasks"] > 0


def test_the_template_on_the_page_is_one(here: Path) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert parse_templates(text, "page").name == "recipes"
    Path("recipes.yaml").write_text(text)
    Path("dishes.json").write_text(
        json.dumps([{"dish": "Borscht", "ingredients": ["beet", "dill"], "steps": "Boil both."}])
    )
    command = ["import", "dishes.json", "--template", "recipes.yaml", "--out", "x"]
    assert cli([*command, "--per-row", "all"]) == 0


def test_templates_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["import", "--list-templates"]) == 0
    listed = capsys.readouterr().out
    assert [line.split(":")[0] for line in listed.splitlines() if line[0] != " "] == shipped_names()
    assert cli(["import", "--show-template", "nli"]) == 0
    assert parse_templates(capsys.readouterr().out, "nli").name == "nli"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl"], "none.jsonl: no such file; check the dataset"),
        (["data.xml"], "data.xml: has no column 'label'"),
        (["bad.jsonl"], "bad.jsonl:2: is not JSON"),
        (["list.json"], "list.json:1: is 3, no object; write {…}"),
        (["empty.jsonl"], "empty.jsonl: holds no row"),
        (["ragged.csv"], "ragged.csv:2: has 3 cells under 2 columns"),
        (["bad.parquet"], "bad.parquet: cannot be read"),
        (["other.jsonl"], "has no column 'label'"),
        (["rows.jsonl", "--template", "nothing"], "nothing: no such file, and no shipped"),
        (["rows.jsonl", "--template", "sentiment@0"], "a weight is above 0"),
        (["rows.jsonl", "--template", "sentiment"], "two files have the name 'sentiment'"),
        (["rows.jsonl", "--columns", "text"], "--columns text: write NAME=VALUE"),
        (["rows.jsonl", "--columns", "text=body"], "no column 'body'; its columns are text, label"),
        (["rows.jsonl", "--value", "text=x"], "has a column 'text' already"),
        (["rows.jsonl", "--per-row", "some"], "--per-row some: write a number, or all"),
        (["rows.jsonl", "--per-row", "0"], "--per-row 0: give 1 or more"),
        (["rows.jsonl", "--inverted", "1.5"], "--inverted 1.5: a share lies between 0 and 1"),
        (["rows.jsonl", "--examples", "a"], "--examples a: write a number, or NUMBER=WEIGHT"),
        (["rows.jsonl", "--examples", "2=0"], "a number of examples is 0 or more, and its weight"),
        (["rows.jsonl", "--rows", "0"], "--rows 0: give 1 or more"),
        (["rows.jsonl", "--seeds", "none.txt"], "none.txt: no such file; check --seeds"),
        (["rows.jsonl", "--set", "novelty.treshold=1"], "unknown key 'novelty.treshold'"),
        (["null.jsonl"], "null.jsonl:2: template sentiment/"),
        (["code.jsonl"], "code.jsonl:1: column 'label' is 7, which the template file has no word"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    here: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    line = json.dumps(ROW) + "\n"
    Path("data.xml").write_text("<a/>")
    Path("bad.jsonl").write_text(line + "{'a': 1}\n")
    Path("list.json").write_text(json.dumps([ROW, 3]))
    Path("empty.jsonl").write_text("\n")
    Path("ragged.csv").write_text("text,label\na,1,2\n")
    Path("bad.parquet").write_bytes(b"PAR1 no")
    Path("other.jsonl").write_text('{"text": "The soup was hot."}\n')
    Path("null.jsonl").write_text(line + '{"text": null, "label": 1}\n')
    Path("code.jsonl").write_text('{"text": "The soup was hot.", "label": 7}\n')
    before = sorted(here.rglob("*"))
    assert cli(["import", *arguments, "--template", "sentiment", "--out", "outputs/run"]) == 2
    shown = " ".join(capfd.readouterr().err.split())
    assert message in shown
    assert sorted(here.rglob("*")) == before


def test_rows_that_cannot_be_used_are_left_out_and_counted(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("some.jsonl").write_text(json.dumps(ROW) + '\n{"text": null, "label": 1}\n')
    command = ["import", "some.jsonl", "--template", "sentiment", "--out", "run"]
    assert cli([*command, "--skip-invalid", "--inverted", "0"]) == 0
    assert "1 rows were left out" in " ".join(capfd.readouterr().err.split())
    assert len(open_run(Path("run")).instances(0)) == 1
