"""Data sets through `datasets`: names on the hub, folders of `save_to_disk`, folders of files.

There is no hub here. What the library is asked for is checked at its border; everything behind the
border is the real library, on local files.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.dataset.read import read_any
from selfinstruct.inputs import hub
from selfinstruct.inputs.hub import HubName, hub_name
from selfinstruct.inputs.read_data import read_data
from tests.inputs.some_rows import ROWS, answer, lines, question

datasets = pytest.importorskip("datasets")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
EXPECTED = [(question(n), answer(n)) for n in range(4)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def rows(name: str = "alpaca", count: int = 4) -> list[dict[str, Any]]:
    return [ROWS[name](n) for n in range(count)]


def said(path: str | Path) -> list[tuple[str, str]]:
    return [(row.user, row.answer_text) for row in read_any(str(path), "--data").rows]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ann/birds", HubName("ann/birds")),
        ("hf://datasets/ann/birds", HubName("ann/birds")),
        ("ann/birds:small", HubName("ann/birds", "small")),
        ("ann/birds@v1.0#test", HubName("ann/birds", None, "v1.0", "test")),
        ("ann/birds:en-2@main#train[:10]", HubName("ann/birds", "en-2", "main", "train[:10]")),
        ("birds", None),
        ("a/b/c", None),
        ("ann/birds and bees", None),
    ],
)
def test_names_on_the_hub(text: str, name: HubName | None) -> None:
    assert hub_name(text) == name


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A hub that has ann/birds: what it is asked for, and local rows for an answer."""
    calls: list[Any] = []

    def load_dataset(path: str, name: str | None = None, **how: Any) -> Any:
        calls.append((path, name, how))
        if path != "ann/birds":
            raise ValueError(f"no data set {path}")
        data = datasets.Dataset.from_list(rows())
        return data if how.get("split") else datasets.DatasetDict({"train": data})

    class Api:
        def dataset_info(self, repo: str, *, revision: str | None, timeout: float) -> Any:
            if repo != "ann/birds":
                raise OSError("not there")
            calls.append((repo, revision))
            return types.SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    return calls


def test_a_name_is_loaded_by_the_commit_of_its_revision(asked: list[Any]) -> None:
    data = read_data("ann/birds:small@main#train", option="--data")
    assert [(row.user, row.answer_text) for row in data.rows] == EXPECTED
    assert asked == [
        ("ann/birds", "main"),
        ("ann/birds", "small", {"revision": COMMIT, "split": "train"}),
    ]
    assert data.name == f"ann/birds:small@{COMMIT}#train"
    assert data.rows[0].where == f"{data.name}: row 1"
    assert data.format == "alpaca: instruction, input, output"


def test_the_split_is_train_unless_named(asked: list[Any]) -> None:
    assert len(read_data("ann/birds", option="--data").rows) == 4
    assert asked[-1] == ("ann/birds", None, {"revision": COMMIT, "split": None})


def test_a_commit_is_its_own_pin(asked: list[Any]) -> None:
    assert read_data(f"ann/birds@{COMMIT}", option="--data").name == f"ann/birds@{COMMIT}"
    assert len(asked) == 1


def test_what_is_not_on_the_hub(asked: list[Any]) -> None:
    with pytest.raises(ConfigError, match=r"bob/fish: cannot be loaded .*check --data: a file,"):
        read_data("bob/fish", option="--data")


def saved(folder: Path) -> Path:
    datasets.Dataset.from_list(rows()).save_to_disk(str(folder))
    return folder


def saved_splits(folder: Path) -> Path:
    parts = {"train": datasets.Dataset.from_list(rows())}
    parts["test"] = datasets.Dataset.from_list(rows(count=1))
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return folder


def of_files(folder: Path) -> Path:
    folder.mkdir()
    lines(folder / "train.jsonl", rows())
    lines(folder / "test.jsonl", rows(count=1))
    return folder


@pytest.mark.parametrize("make", [saved, saved_splits, of_files])
def test_folders(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "birds")
    assert said(folder) == EXPECTED
    if make is not saved:
        assert said(f"{folder}#test") == EXPECTED[:1]
        with pytest.raises(ConfigError, match=r"dev|train, test|splits"):
            said(f"{folder}#dev")


def test_a_folder_without_train_names_its_splits(tmp_path: Path) -> None:
    parts = {name: datasets.Dataset.from_list(rows()) for name in ("one", "two")}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "birds"))
    with pytest.raises(ConfigError, match=r"has the splits one, two; .*birds#one"):
        said(tmp_path / "birds")
    assert said(f"{tmp_path / 'birds'}#two") == EXPECTED


def test_conversations_keep_their_form(tmp_path: Path) -> None:
    # `datasets` fills what one row lacks with null, and stores turns as tables.
    turns = rows("messages")
    turns[0]["messages"].insert(0, {"role": "system", "content": ""})
    more = [{**row, "alpaca": None, "system": None} for row in turns]
    datasets.Dataset.from_list(more).save_to_disk(str(tmp_path / "birds"))
    assert said(tmp_path / "birds") == EXPECTED


def test_the_library_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = of_files(tmp_path / "birds")
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"needs the package datasets: .*datasets"):
        said(folder)


class NoConnectionError(Exception):
    """As an HTTP client has them, which is no OSError."""


@pytest.mark.parametrize("error", [OSError("no connection"), NoConnectionError("no such host")])
def test_without_a_connection_the_cache_is_asked(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Api:
        def dataset_info(self, repo: str, **how: Any) -> Any:
            raise error

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert hub.pinned(HubName("ann/birds", revision="v1")) == HubName("ann/birds", revision="v1")


def test_a_hub_that_cannot_be_reached_says_what_to_do() -> None:
    """There is no hub where the tests run: the library's own error is what is translated."""
    with pytest.raises(ConfigError, match=r"ann/birds: the hub cannot be reached .*file or a fold"):
        read_any("ann/birds", "--data")
