"""The public API: its names, its docs, and that it does what the command line does."""

from __future__ import annotations

import ast
import inspect
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from functools import partial
from pathlib import Path

import pytest
import typer.main

import selfinstruct as si
from selfinstruct.audit.search import Filter
from selfinstruct.cli.app import app
from selfinstruct.cli.app import run as cli
from selfinstruct.dataset.formats import Format
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate import launch
from selfinstruct.models import resolve_model
from tests.conftest import Generate, varied_script
from tests.engines.kinds import stand_in_for_vllm
from tests.test_imports import HEAVY

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, model_folder: Path, seeds_file: Path) -> Path:
    """Have the script answer as any model, on few seeds; return the seeds."""
    stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, varied_script))
    monkeypatch.setattr(
        launch, "resolve_model", lambda _, say, __: resolve_model(str(model_folder), say)
    )
    monkeypatch.setattr("selfinstruct.inputs.run_inputs.shipped_seeds", lambda: seeds_file)
    return seeds_file


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> si.Run:
    generate(tmp_path / "run", stop__target=10)
    return si.open_run(tmp_path / "run")


def test_the_page_runs(
    tmp_path: Path,
    scripted: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) >= 8
    names: dict[str, object] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
    out = capsys.readouterr().out
    assert out.startswith("target\n")
    assert "of 10 tasks" in out
    assert "is a run already" in out
    assert isinstance(names["run"], si.Run)
    assert names["run"].summary().tasks == 30
    assert names["rejected"]


def test_every_name_and_filter_is_on_the_page() -> None:
    for name in set(si.__all__) - {"SelfInstructError"}:
        assert re.search(rf"\b{name}\b", PAGE), name
    public = {name for name in vars(si.Run) if not name.startswith("_")}
    assert public == {"candidates", "name", "replay", "summary", "tasks", "to_dataset"}
    for name in (public | filters()) - {"name"}:
        assert re.search(rf"`{name}\b|\.{name}\(", PAGE), name
    for record in (si.ExportRow, si.RoundCommitted, si.Working, si.Difference):
        for field in fields(record):
            assert f"`{field.name}`" in PAGE, field.name


def filters() -> set[str]:
    return set(inspect.signature(si.Run.candidates).parameters) - {"self", "stage"}


def test_the_lists_of_names_agree() -> None:
    tree = ast.parse((ROOT / "selfinstruct" / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    homes = {(f"selfinstruct.{home}", name) for home, names in si._HOMES.items() for name in names}
    assert typed == homes
    assert sorted(name for _, name in homes) == sorted(si.__all__)
    assert set(si.__all__) <= set(dir(si))
    for name in si.__all__:
        assert getattr(si, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        si.nothing  # noqa: B018


def test_public_names_have_docstrings_with_examples() -> None:
    functions = [si.generate, si.open_run, si.export, si.Run]
    functions += [
        one for name, one in inspect.getmembers(si.Run, inspect.isfunction) if name[0] != "_"
    ]
    for one in functions:
        assert one.__doc__
        assert "Example:" in one.__doc__, one
    for one in (si.generate, si.export, si.Run.candidates):
        for name in set(inspect.signature(one).parameters) - {"self"}:
            assert re.search(rf"^\s+{name}: ", inspect.getdoc(one) or "", re.MULTILINE), name


@pytest.mark.parametrize("first", ["pass", "import selfinstruct.generate.loop", "si.open_run"])
def test_generate_is_the_function_whatever_is_imported_first(first: str) -> None:
    code = (
        f"import sys; import selfinstruct as si; loaded = sorted(set(sys.modules) & {HEAVY!r});"
        f"light = 'typing' in sys.modules or 'selfinstruct.api' in sys.modules;{first};"
        "from selfinstruct.generate.launch import launch;"
        "print(loaded, light, si.generate.__module__, 'generate' in dir(si))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[] False selfinstruct.api True"


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "selfinstruct" / "py.typed").is_file()


def test_generate_takes_what_the_command_takes() -> None:
    command = typer.main.get_command(app).commands["generate"]
    options = {parameter.name for parameter in command.params} - {"help"}
    assert options | {"progress"} == set(inspect.signature(si.generate).parameters)


def test_candidates_take_every_filter() -> None:
    known = {field.name for field in fields(Filter)} - {"table"}
    assert known | {"sort", "descending", "offset", "limit"} == filters()


def test_generate_and_the_command_make_the_same_run(tmp_path: Path, scripted: Path) -> None:
    run = si.generate(
        tmp_path / "a",
        target=8,
        seeds=scripted,
        max_rounds=40,
        seed=3,
        settings={"propose.per_round": 4, "novelty": {"threshold": 0.6}},
    )
    arguments = ["--target", "8", "--seeds", str(scripted), "--max-rounds", "40", "--seed", "3"]
    arguments += ["--set", "propose.per_round=4", "--set", "novelty.threshold=0.6"]
    assert cli(["generate", "--out", str(tmp_path / "b"), *arguments]) == 0
    other = si.open_run(tmp_path / "b")
    assert (run.stop_reason, other.stop_reason) == ("target", "target")
    assert [repr(one) for one in run.tasks()] == [repr(one) for one in other.tasks()]
    assert run._run.meta["fingerprint"] == other._run.meta["fingerprint"]
    assert run._run.meta["config"] == other._run.meta["config"]


def test_arguments_win_over_a_file_and_settings_over_both(tmp_path: Path, scripted: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("stop: {target: 3, max_rounds: 7}\nseed: 5\n", encoding="utf-8")
    run = si.generate(
        tmp_path / "run",
        config=config,
        target=4,
        seed=6,
        settings={"seed": 7, "propose.per_round": 4},
    )
    stored = run._run.meta["config"]
    assert (stored["stop"]["target"], stored["stop"]["max_rounds"], stored["seed"]) == (4, 7, 7)


def test_stop_reasons(tmp_path: Path, scripted: Path) -> None:
    settings = {"propose.per_round": 2}
    run = si.generate(tmp_path / "run", target=500, max_rounds=1, settings=settings)
    assert run.stop_reason == "max_rounds"
    assert si.open_run(run.path).stop_reason == "max_rounds"
    (run.path / "status.json").write_text('{"state": "failed", "reason": "x"}', encoding="utf-8")
    assert si.open_run(run.path).stop_reason is None


def test_nothing_is_written_for_wrong_arguments(tmp_path: Path, scripted: Path) -> None:
    out = tmp_path / "run"
    wrong = [
        ({"target": 0}, r"arguments: stop.target"),
        ({"settings": {"novelty.treshold": 1}}, r"unknown key 'novelty.treshold'"),
        ({"settings": {"stop": 1, "stop.target": 2}}, r"drop one"),
        ({"engine": "cloud"}, r"cloud"),
        ({"seeds": tmp_path / "none.jsonl"}, r"none.jsonl"),
    ]
    for arguments, message in wrong:
        with pytest.raises(si.ConfigError, match=message):
            si.generate(out, **arguments)
    assert not out.exists()
    with pytest.raises(TypeError, match="targt"):
        si.generate(out, targt=3)


def test_progress_is_logged_or_told(
    tmp_path: Path, scripted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"propose.per_round": 4}
    with caplog.at_level(logging.INFO, logger="selfinstruct"):
        si.generate(tmp_path / "run", target=3, settings=settings)
    assert "3/3 tasks" in caplog.text
    caplog.clear()
    events: list[si.Event] = []
    with caplog.at_level(logging.INFO, logger="selfinstruct"):
        si.generate(tmp_path / "other", target=3, settings=settings, progress=events.append)
    assert "3/3 tasks" not in caplog.text
    assert [one.tasks for one in events if isinstance(one, si.RoundCommitted)][-1] == 3


def test_tasks_are_what_is_exported(run: si.Run, tmp_path: Path) -> None:
    tasks = list(run.tasks())
    assert len({task.instruction_id for task in tasks}) == 10 == run.summary().tasks
    done = si.export(run, tmp_path / "x" / "train.jsonl", format="alpaca")
    lines = done.path.read_text(encoding="utf-8").splitlines()
    assert done == si.Exported(tmp_path / "x" / "train.jsonl", len(tasks))
    assert [json.loads(line)["output"] for line in lines] == [task.output for task in tasks]
    with pytest.raises(FrozenInstanceError):
        tasks[0].output = "mine"  # type: ignore[misc]
    assert cli(["audit", "drop", str(run.path), tasks[0].instruction_id, "--by", "ann"]) == 0
    assert tasks[0].id not in {task.id for task in run.tasks()}


def test_datasets(run: si.Run, tmp_path: Path) -> None:
    import datasets

    whole = run.to_dataset()
    assert isinstance(whole, datasets.Dataset)
    # A row of a table holds one exchange.
    names = [field.name for field in fields(si.ExportRow)]
    assert [*whole.column_names, "conversation_id", "turns", "item", "shown", "draft"] == names
    assert whole["id"][:] == [task.id for task in run.tasks()]
    for format in (format for format in Format if format.suffix == "jsonl"):
        file = si.export(run.path, tmp_path / "train.jsonl", format=format).path
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert run.to_dataset(format).to_list() == lines
    si.export(run, tmp_path / "train.parquet", format="parquet")
    read = datasets.Dataset.from_parquet(str(tmp_path / "train.parquet"), cache_dir=str(tmp_path))
    assert read.features == whole.features


def test_candidates_are_those_of_the_command(
    run: si.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run.candidates(reason="not_novel", sort="rouge_l", descending=True, limit=4)
    assert isinstance(found, Iterator)
    rows = list(found)
    command = ["audit", "list", str(run.path), "--reason", "not_novel", "--sort", "rouge_l"]
    assert cli([*command, "--descending", "--limit", "4", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    assert rows[0].keys() == lines[0].keys()
    ranged = list(run.candidates(min_rouge=0.3, max_rouge=0.5))
    assert all(0.3 <= row["rouge_l"] <= 0.5 for row in ranged)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reason": "boring"}, "there are: parse_failure"),
        ({"verdict": "maybe"}, "there are: accepted, rejected"),
        ({"stage": "rounds"}, "there are: instructions, instances"),
        ({"sort": "beauty"}, "there are: judged"),
        ({"stage": "instances", "min_rouge": 0.1}, "min_rouge"),
        ({"limit": 0}, "1 or more"),
    ],
)
def test_wrong_filters_are_refused_at_once(
    run: si.Run, wrong: dict[str, str], message: str
) -> None:
    with pytest.raises(si.ConfigError, match=message):
        run.candidates(**wrong)


def test_wrong_choices_are_refused(run: si.Run, tmp_path: Path) -> None:
    with pytest.raises(si.ConfigError, match="format 'xml': there is none; there are: messages"):
        si.export(run, tmp_path / "x", format="xml")
    with pytest.raises(si.ConfigError, match="format 'xml'"):
        run.to_dataset("xml")
    with pytest.raises(si.ConfigError, match="answers 'hers'"):
        run.tasks(answers="hers")
    with pytest.raises(si.ConfigError, match="no accepted answers of a teacher"):
        run.to_dataset(answers="teacher")
    with pytest.raises(si.ConfigError, match="is not a run"):
        si.open_run(tmp_path / "nothing")


def test_replay_finds_damage(run: si.Run) -> None:
    assert run.replay() == []
    file = run.path / "rounds" / "00000" / "instructions.parquet"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(si.StoreError, match="checksum"):
        run.replay()
