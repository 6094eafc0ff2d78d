"""Seeds in any format: what becomes of rows, how a run keeps them, and a resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Instance, SeedTask
from selfinstruct.dataset.read import read_any
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.inputs.seed_rows import canonical_bytes, seeds_of, stored_seeds
from selfinstruct.inputs.seeds import parse_seeds, shipped_seeds
from selfinstruct.store import Run, open_run
from tests.conftest import make_seed
from tests.inputs.some_rows import array, assistant, data, lines, user

Generate = Callable[..., tuple[Run, str]]


def read(path: Path) -> list[SeedTask]:
    return seeds_of(read_any(path, "--seeds"))


def test_rows_with_one_instruction_are_one_task(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Name the colour.", "input": "snow", "output": "white"},
        {"instruction": "Sing.", "input": "", "output": "La la."},
        {"instruction": "Name the colour. ", "input": "coal", "output": "black"},
        {"instruction": "Name the colour.", "input": "snow", "output": "white"},
    ]
    assert read(array(tmp_path / "a.json", rows)) == [
        SeedTask(
            "1",
            "1",
            "Name the colour.",
            (Instance("snow", "white"), Instance("coal", "black")),
            None,
        ),
        SeedTask("2", "2", "Sing.", (Instance("", "La la."),), None),
    ]


def test_instructions_alone_have_no_examples(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\nSing.\nDance.\n")
    assert read(tmp_path / "a.txt") == [
        SeedTask("2", "line_2", "Sing.", (), None),
        SeedTask("3", "line_3", "Dance.", (), None),
    ]
    rows = [{"id": "s", "instruction": "Sing."}]
    assert read(array(tmp_path / "a.json", rows)) == [SeedTask("s", "s", "Sing.", (), None)]


def test_seed_files_are_read_as_before_and_kept_byte_for_byte(tmp_path: Path) -> None:
    path = shipped_seeds()
    file = read_any(path, "--seeds")
    assert seeds_of(file) == parse_seeds(path.read_bytes(), path)
    assert stored_seeds(file, seeds_of(file)) == ("seeds.jsonl", path.read_bytes())
    (tmp_path / "a.txt").write_text("Sing.\r\n\nDance.\n")
    file = read_any(tmp_path / "a.txt", "--seeds")
    assert stored_seeds(file, seeds_of(file)) == ("seeds.txt", b"Sing.\r\n\nDance.\n")


@pytest.mark.parametrize("name", ["alpaca", "messages", "question-answer", "texts"])
def test_other_formats_are_kept_as_json_lines_that_say_the_same(name: str, tmp_path: Path) -> None:
    file = read_any(data(tmp_path, name), "--seeds")
    stored, content = stored_seeds(file, seeds_of(file))
    assert stored == "seeds.jsonl"
    assert content == canonical_bytes(seeds_of(file))
    assert parse_seeds(content, stored) == seeds_of(file)
    assert len(content.splitlines()) == 12


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"instruction": "Sing.", "output": " "}, '"output" is empty'),
        ({"instruction": " ", "output": "La."}, '"instruction" is empty'),
        (
            {"instruction": "Sing.", "output": "La.", "system": "Be loud."},
            'has the system prompt "Be loud.", and a seed task has none; leave it out with',
        ),
        (
            {"messages": [user("Hi."), assistant("Hi!"), user("Sing."), assistant("La.")]},
            "is a conversation of several turns, and a seed task is one turn",
        ),
        ({"instruction": "Sing.", "output": "La.", "is_classification": "maybe"}, "give true"),
        ({"id": "1", "instruction": "Sing.", "output": "La."}, "\"id\" '1' was used on line 1"),
        ({"prompt": "Sing.", "chosen": "La.", "rejected": "No."}, "pairs are for `train dpo`"),
    ],
)
def test_a_row_that_is_no_seed(row: Any, message: str, tmp_path: Path) -> None:
    file = array(tmp_path / "a.json", [{"instruction": "Dance.", "output": "Yes."}, row])
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}:6: ")
    assert message in str(caught.value)


def seeds(count: int = 12) -> list[dict[str, Any]]:
    """Seed tasks as the golden prompts know them, but in the format alpaca."""
    made = [make_seed(n) for n in range(count)]
    return [
        {"instruction": seed["instruction"], **seed["instances"][0], "id": seed["id"]}
        for seed in made
    ]


def test_a_run_keeps_the_rows_and_a_resume_compares_them(
    tmp_path: Path, generate: Generate, capfd: pytest.CaptureFixture[str]
) -> None:
    file = array(tmp_path / "seeds.json", seeds())
    run, _ = generate(tmp_path / "run", seeds=str(file))
    kept = (run.path / "inputs" / "seeds.jsonl").read_bytes()
    assert [json.loads(line)["id"] for line in kept.splitlines()] == [row["id"] for row in seeds()]
    assert len(stored_inputs(run).seeds) == 12
    assert run.meta["read_from"] == {"seeds": str(file)}
    # The same rows in another file of another format continue the run, and it keeps its own.
    other = lines(tmp_path / "seeds.jsonl", seeds())
    grown, _ = generate(tmp_path / "run", resume=True, seeds=str(other), stop__target=15)
    assert (grown.path / "inputs" / "seeds.jsonl").read_bytes() == kept
    fewer = lines(tmp_path / "fewer.jsonl", seeds(11))
    capfd.readouterr()
    assert cli(["generate", "--out", str(run.path), "--resume", "--seeds", str(fewer)]) == 2
    assert "seeds_sha256" in capfd.readouterr().err


def test_a_name_on_the_hub_is_not_read_again(
    tmp_path: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(seeds())
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: rows)
    monkeypatch.setattr(
        "selfinstruct.inputs.hub.pinned",
        lambda name: type(name)(name.repo, name.config, "f" * 40, name.split),
    )
    run, _ = generate(tmp_path / "run", seeds="ann/birds")
    assert open_run(run.path).meta["read_from"] == {"seeds": f"ann/birds@{'f' * 40}"}

    def gone(*_: Any, **__: Any) -> Any:
        raise AssertionError("the run has the rows")

    monkeypatch.setattr("datasets.load_dataset", gone)
    generate(tmp_path / "run", resume=True, seeds="ann/birds", stop__target=15)


def test_a_run_can_be_the_seeds_of_another(tmp_path: Path, generate: Generate) -> None:
    first, _ = generate(tmp_path / "first", stop__target=12)
    second, _ = generate(tmp_path / "second", seeds=str(first.path), seed=5)
    texts = {seed.instruction for seed in stored_inputs(second).seeds}
    assert len(texts) == 12


def test_bad_rows_may_be_skipped(tmp_path: Path, generate: Generate) -> None:
    bad = {"instruction": "Sing.", "output": 4}
    file = array(tmp_path / "seeds.json", [*seeds(), bad])
    with pytest.raises(ConfigError, match=r"seeds\.json:\d+: .output. is not a text but 4"):
        generate(tmp_path / "run", seeds=str(file))
    assert not (tmp_path / "run").exists()
    run, _ = generate(tmp_path / "run", seeds=str(file), skip_invalid=True)
    assert len(stored_inputs(run).seeds) == 12


def test_topics_and_texts_to_avoid_of_any_format(tmp_path: Path, generate: Generate) -> None:
    avoid = data(tmp_path, "preference", 3)
    topics = lines(tmp_path / "topics.jsonl", [{"topic": "horses"}, {"topic": "bread"}])
    run, _ = generate(tmp_path / "run", avoid=str(avoid), topics=str(topics))
    inputs = stored_inputs(run)
    assert inputs.topics == ("horses", "bread")
    assert next(text for _, text in inputs.avoid).startswith("What is a lamp")
