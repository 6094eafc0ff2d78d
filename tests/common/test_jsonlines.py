"""A journal grows line by line, and a torn line costs itself alone."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfinstruct.common.errors import StoreError, WriteError
from selfinstruct.common.jsonlines import append_line, parse_lines, read_lines, sum_path


def test_nothing_is_there_before_the_first_line(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "notes.jsonl") == ([], [])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_what_is_appended_is_read_back(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "notes.jsonl"
    path.unlink(missing_ok=True)
    for text in texts:
        append_line(path, {"text": text})
    entries, damaged = read_lines(path)
    assert [entry["text"] for _, entry in entries] == texts
    assert [number for number, _ in entries] == list(range(1, len(texts) + 1))
    assert damaged == []


@pytest.mark.parametrize("torn", [b'{"id": "r0', b'{"id": "\xc3', b"[1]", b"7"])
def test_a_torn_line_is_told_and_the_next_one_whole(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "notes.jsonl"
    append_line(path, {"n": 1})
    with path.open("ab") as handle:
        handle.write(torn)
    append_line(path, {"n": 2})
    entries, damaged = read_lines(path)
    assert [entry["n"] for _, entry in entries] == [1, 2]
    assert [line.number for line in damaged] == [2]
    assert f"{path}:2: is no" in str(damaged[0])
    assert path.read_bytes().startswith(b'{"n": 1}\n' + torn)


def test_an_unfinished_line_after_the_sum_is_no_damage(tmp_path: Path) -> None:
    """Its process died before it could say that the line is written; a whole one counts."""
    path = tmp_path / "notes.jsonl"
    append_line(path, {"n": 1}, summed=True)
    whole = path.read_bytes()
    for end, known in ((b'{"n": 2', [1]), (b'{"n": 2}', [1, 2]), (b'{"n": 2}\n{"n"', [1, 2])):
        path.write_bytes(whole + end)
        entries, damaged = parse_lines(path, lambda line: line["n"], "note")
        assert (entries, damaged) == (known, [])
        before = sum_path(path).read_bytes()
        append_line(path, {"n": 3}, summed=True)
        assert parse_lines(path, lambda line: line["n"], "note") == ([*known, 3], [])
        sum_path(path).write_bytes(before)
    # What the sum covers is damage, torn or not; and so is a last line that is gone.
    path.write_bytes(whole[:-3])
    _, damaged = parse_lines(path, lambda line: line["n"], "note")
    assert any("lost 3 bytes" in str(line) for line in damaged)


def write_many(path: Path, writer: int) -> None:
    for number in range(40):
        append_line(path, {"writer": writer, "number": number, "text": "x" * 5000})


def test_processes_that_write_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(write_many, [path] * 4, range(4)))
    entries, damaged = read_lines(path)
    assert damaged == []
    for writer in range(4):
        own = [entry["number"] for _, entry in entries if entry["writer"] == writer]
        assert own == list(range(40))


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "notes.jsonl"
    folder.mkdir()
    with pytest.raises(WriteError, match="cannot be written"):
        append_line(folder, {"n": 1})
    with pytest.raises(StoreError, match="cannot be read"):
        read_lines(folder)


def test_it_is_json_lines(tmp_path: Path) -> None:
    append_line(tmp_path / "a", {"text": "é\n\u2028"})
    assert json.loads((tmp_path / "a").read_text("utf-8")) == {"text": "é\n\u2028"}
