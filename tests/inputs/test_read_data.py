"""Files as people have them: kinds of files, names of columns, and what is said of bad ones."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.data_row import DataRow
from selfinstruct.inputs.purposes import SFT
from selfinstruct.inputs.read_data import parse_columns, read_data
from tests.inputs.some_rows import ROWS, answer, array, assistant, lines, question, user

ALPACA = [ROWS["alpaca"](n) for n in range(5)]
EXPECTED = [(question(n), answer(n)) for n in range(5)]


def zstd(path: Path, content: bytes) -> None:
    with pa.output_stream(str(path), compression="zstd") as out:
        out.write(content)


def table(
    path: Path, delimiter: str = ",", names: tuple[str, ...] = ("Question", "Answer")
) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as handle:
        writer = csv.writer(handle, delimiter=delimiter)
        writer.writerow(names)
        writer.writerows(EXPECTED)
    return path


def json_text() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ALPACA).encode()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def arrow(path: Path) -> Path:
    rows = pa.Table.from_pylist(ALPACA)
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, rows.schema) as writer:
        writer.write_table(rows)
    return path


def parquet(path: Path, rows: list[Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def compressed(path: Path, compress: Callable[[bytes], bytes]) -> Path:
    return written(path, compress(json_text()))


FILES: dict[str, Callable[[Path], Path]] = {
    "json lines": lambda folder: lines(folder / "a.jsonl", ALPACA),
    "json lines that end in .json": lambda folder: lines(folder / "a.json", ALPACA),
    "a pretty array": lambda folder: array(folder / "a.json", ALPACA),
    "an array that ends in .jsonl": lambda folder: array(folder / "a.jsonl", ALPACA),
    "an array in one line": lambda folder: written(folder / "a.json", json.dumps(ALPACA).encode()),
    "a byte order mark": lambda folder: written(
        folder / "a.json", b"\xef\xbb\xbf" + json.dumps(ALPACA, indent=1).encode()
    ),
    "objects over several lines": lambda folder: written(
        folder / "a.json", "\n".join(json.dumps(row, indent=2) for row in ALPACA).encode()
    ),
    "rows in an object": lambda folder: written(
        folder / "a.json", json.dumps({"version": "1", "data": ALPACA}, indent=2).encode()
    ),
    "windows line ends": lambda folder: written(
        folder / "a.jsonl", json_text().replace(b"\n", b"\r\n")
    ),
    "another ending": lambda folder: written(folder / "a.data", json_text()),
    "parquet": lambda folder: parquet(folder / "a.parquet", ALPACA),
    "arrow": lambda folder: arrow(folder / "a.arrow"),
    "csv": lambda folder: table(folder / "a.csv"),
    "csv with semicolons": lambda folder: table(folder / "a.csv", ";"),
    "tsv": lambda folder: table(folder / "a.tsv", "\t"),
    "gzip": lambda folder: compressed(folder / "a.jsonl.gz", gzip.compress),
    "bzip2": lambda folder: compressed(folder / "a.jsonl.bz2", bz2.compress),
    "xz": lambda folder: compressed(folder / "a.jsonl.xz", lzma.compress),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_same_rows_in_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    data = read_data(FILES[kind](tmp_path), option="--data")
    assert [(row.user, row.answer_text) for row in data.rows] == EXPECTED
    assert data.count == 5
    assert [row.id for row in data.rows] == ["1", "2", "3", "4", "5"]


def test_zstandard(tmp_path: Path) -> None:
    zstd(tmp_path / "a.json.zst", json.dumps(ALPACA, indent=2).encode())
    rows = read_data(tmp_path / "a.json.zst", option="--data").rows
    assert [(row.user, row.answer_text) for row in rows] == EXPECTED


def only(row: Any, path: Path, **how: Any) -> DataRow:
    (found,) = read_data(array(path / "one.json", [row]), option="--data", **how).rows
    return found


Q, A = question(0), answer(0)


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"instruction": Q, "context": "", "response": A, "category": "open"}, "alpaca"),
        ({"instruction": Q, "input": None, "output": A, "messages": None}, "alpaca"),
        ({"instruction": Q, "input": float("nan"), "output": A}, "alpaca"),
        ({"Instruction": Q, "OUTPUT": A}, "alpaca"),
        ({"query": Q, "response": A}, "question-answer"),
        ({"problem": Q, "solution": A}, "question-answer"),
        ({"question": Q, "answers": {"text": [A, "other"], "answer_start": [0, 3]}}, "question-"),
        ({"prompt": Q, "response": A}, "prompt-completion"),
        ({"prompt": [user(Q)], "completion": [assistant(A)]}, "prompt-completion"),
        ({"prompt": Q, "messages": [user(Q), assistant(A)]}, "messages"),
        ({"conversations": [user(Q), assistant(A)]}, "messages"),
        ({"messages": {"role": ["user", "assistant"], "content": [Q, A]}}, "messages"),
        ({"messages": json.dumps([user(Q), assistant(A)])}, "messages"),
        (
            {"messages": [user([{"type": "text", "text": Q}]), assistant(A)]},  # type: ignore[arg-type]
            "messages",
        ),
        ({"conversations": [{"from": "user", "value": Q}, {"from": "chatgpt", "value": A}]}, "sh"),
        ({"text": f"### Human: {Q}### Assistant: {A}".replace("###", "\n###")}, "transcript"),
    ],
)
def test_the_usual_names_of_columns(row: Any, format: str, tmp_path: Path) -> None:
    found = only(row, tmp_path)
    assert found.format.startswith(format)
    assert (found.user, found.answer_text) == (Q, A)


def test_system_prompts_and_history_are_kept(tmp_path: Path) -> None:
    row = {
        "instruction": "And the second?",
        "output": "Mars is the fourth.",
        "system": "Be brief.",
        "history": [["Name a planet.", "Mars."]],
    }
    found = only(row, tmp_path)
    roles = [turn["role"] for turn in found.prompt]
    assert roles == ["system", "user", "assistant", "user"]
    assert [turn["content"] for turn in found.prompt][:3] == [
        "Be brief.",
        "Name a planet.",
        "Mars.",
    ]
    asked = {"system_prompt": "Be brief.", "question": Q, "response": A}
    assert [turn["role"] for turn in only(asked, tmp_path).prompt] == ["system", "user"]
    # An empty one is none.
    shared = {"system": "", "conversations": [{"from": "human", "value": Q}]}
    assert [turn["role"] for turn in only(shared, tmp_path).prompt] == ["user"]


def test_tool_turns_are_kept(tmp_path: Path) -> None:
    turns = [
        {"from": "human", "value": "How warm is it?"},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {"of": "Bern"}}'},
        {"from": "observation", "value": "12"},
        {"from": "gpt", "value": "It is 12 degrees."},
    ]
    found = only({"conversations": turns}, tmp_path)
    assert found.answer is not None
    assert [turn["role"] for turn in found.answer] == ["assistant", "tool", "assistant"]
    call = {"name": "weather", "arguments": {"of": "Bern"}}
    assert dict(found.answer[0])["tool_calls"] == [{"type": "function", "function": call}]


PAIR = {"chosen": [user(Q), assistant(A)], "rejected": [user(Q), assistant("No idea.")]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": Q, "chosen": A, "rejected": "No idea."},
        PAIR,
        {"prompt": Q, **PAIR},
        {"prompt": [user(Q)], "chosen": [assistant(A)], "rejected": [assistant("No idea.")]},
        {"question": Q, "chosen": A, "rejected": "No idea."},
        {
            "chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}",
            "rejected": f"\n\nHuman: {Q}\n\nAssistant: No idea.",
        },
        {"prompt": f"\n\nHuman: {Q}\n\nAssistant:", "chosen": A, "rejected": "No idea."},
    ],
)
def test_pairs_with_and_without_a_prompt_say_the_same(row: Any, tmp_path: Path) -> None:
    found = only(row, tmp_path)
    assert found.prompt == (user(Q),)
    assert (found.chosen, found.rejected) == ((assistant(A),), (assistant("No idea."),))


def test_the_shared_beginning_of_two_conversations_is_the_prompt(tmp_path: Path) -> None:
    before = [{"role": "system", "content": "Be kind."}, user("Hello."), assistant("Hello!")]
    chosen, rejected = [*before, user(Q), assistant(A)], [*before, user(Q), assistant("No.")]
    found = only({"chosen": chosen, "rejected": rejected}, tmp_path)
    assert list(found.prompt) == [*before, user(Q)]
    assert found.rejected == (assistant("No."),)


def test_ranked_answers_by_scores_and_by_ranks(tmp_path: Path) -> None:
    for more in ({"scores": [0.1, 0.9, 0.5]}, {"ranks": [3, 1, 2]}):
        found = only({"prompt": Q, "responses": ["low", "top", "mid"], **more}, tmp_path)
        assert found.ranked is not None
        assert [turns[0]["content"] for turns in found.ranked] == ["top", "mid", "low"]


def test_columns_are_mapped_and_left_out(tmp_path: Path) -> None:
    row = {"ask": Q, "reply": A, "system": "Be brief."}
    found = only(row, tmp_path, columns=parse_columns("instruction=ask, output=reply, system="))
    assert (found.format, found.user, found.answer_text) == ("alpaca", Q, A)
    with pytest.raises(
        ConfigError, match=r"--columns output=replies: .* has no such column; .*ask"
    ):
        only(row, tmp_path, columns=parse_columns("instruction=ask,output=replies"))
    with pytest.raises(ConfigError, match="give OURS=THEIRS pairs"):
        parse_columns("instruction")


def test_another_format_may_be_forced(tmp_path: Path) -> None:
    row = {"instruction": Q, "output": A}
    assert only(row, tmp_path, format="texts").answer is None
    with pytest.raises(ConfigError, match='"prompt" is missing'):
        only(row, tmp_path, format="prompt-completion")
    with pytest.raises(ConfigError, match="no such format; give one of preference, endings"):
        only(row, tmp_path, format="alpacca")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"instruction": Q, "output": A, "images": ["a.png"]},
            '"images" is .*changes what the row',
        ),
        ({"instruction": Q, "choices": ["x", "y"], "output": "x"}, '"choices" is'),
        ({"messages": [user(Q), assistant(A)], "label": False}, '"label" is false, which'),
        ({"prompt": Q, "chosen": A}, '"rejected" is missing'),
        ({"chosen": A, "rejected": "No."}, '"prompt" is missing, and "chosen" and "rejected" do'),
        ({"prompt": Q, "ranked": ["one"]}, '"ranked" is .*two answers or more'),
        ({"prompt": Q, "responses": ["a", "b"], "scores": [1, 1]}, '"scores" .*two answers are'),
        ({"colour": "red", "size": 3}, r"not known \(its columns: colour, size\).*--columns"),
        ({"instruction": "x\ud800", "output": A}, "half a character"),
        ({"instruction": Q, "output": A, "id": 1.5}, '"id" is 1.5'),
        ({"messages": []}, '"messages" is .*give a text, or turns'),
        ({"messages": [user(Q), {"role": "owl", "content": "hoo"}]}, 'role.* is "owl"'),
        (
            {"messages": [user(Q), {"role": "assistant", "content": 4}]},
            "content.* not a text but 4",
        ),
        ({"messages": [user(Q), user(Q), assistant(A)]}, "second turn of the user in a row"),
        ({"messages": [assistant(A), user(Q), assistant(A)]}, "assistant before the user"),
        (
            {"messages": [user(Q), {**assistant(A), "weight": 0}, user(Q), assistant(A)]},
            "marked as not to be learnt",
        ),
        (
            {"messages": [user([{"type": "image_url", "image_url": "x"}]), assistant(A)]},  # type: ignore[arg-type]
            'a part of the type "image_url"',
        ),
        ({"instruction": Q, "output": A, "history": ["x"]}, r'"history\[0\]" is'),
        (7, "is 7, no object; write"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(row: Any, message: str, tmp_path: Path) -> None:
    file = array(tmp_path / "rows.json", [ALPACA[0], row])
    with pytest.raises(ConfigError, match=rf"rows\.json:\d+: .*{message}"):
        read_data(file, option="--data")
    kept = read_data(file, option="--data", skip_invalid=True)
    assert (len(kept.rows), kept.count, sum(kept.skipped.values())) == (1, 2, 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            b'[{"instruction": "x"},\n {"instruction": }]',
            r"a\.json:2: is not JSON \(.*column 18",
        ),
        ("a.json", b'[{"instruction": "x"}\n', r"a\.json: the array has no end"),
        ("a.json", b'[{"instruction": "x"}] []', "continues after the end of its array"),
        ("a.json", b'[{"instruction": "x"} {"instruction": "y"}]', "expected a comma"),
        ("a.jsonl", b'{"instruction": "x"}\n{oops\n', r"a\.jsonl:2: is not JSON"),
        ("a.jsonl", b'{"instruction": "x"}\n\xff\n', r"is not UTF-8 text \(byte 21\)"),
        ("a.csv", b"question,question\na,b\n", r"a\.csv:1: needs a header"),
        ("a.csv", b"question,answer\na,b,c\n", r"a\.csv:2: has 3 cells under 2 columns"),
        ("a.csv", b'question,answer\na,"b\n', "is not CSV"),
        ("a.parquet", b"PAR1 no", "cannot be read"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.txt", b"ab\n\xff", r"is not UTF-8 text \(byte 3\)"),
    ],
)
def test_a_file_that_cannot_be_read(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_data(written(tmp_path / name, content), option="--data")


def test_there_is_no_such_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    for name in ("rows.jsonl", "data/rows.parquet", "outputs/first", "./a/b", "no file"):
        with pytest.raises(ConfigError, match=r"no such file; check --data"):
            read_data(name, option="--data")


def test_bad_rows_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [{"instruction": Q, "output": " "}, {"instruction": Q}, {"output": A}]
    file = lines(tmp_path / "a.jsonl", [*ALPACA, *bad, *bad[:1]])
    with file.open("a") as handle:
        handle.write("{no json\n")
    data = read_data(file, option="--data", skip_invalid=True)
    assert (data.count, len(data.rows)) == (10, 8)
    assert data.skipped == {"no known format": 1, "not JSON": 1}
    kept = data.converted(SFT, lambda row: row.id)
    assert len(kept) == 7
    assert "left out 3 rows: 1 no known format, 1 not JSON, 1 texts: texts without" in caplog.text


def test_nothing_is_left(tmp_path: Path) -> None:
    data = read_data(array(tmp_path / "a.json", [{"text": Q}]), option="--data", skip_invalid=True)
    with pytest.raises(ConfigError, match=r"holds no task to train on that can be used \(left out"):
        data.converted(SFT, lambda row: row)


def test_rows_of_several_formats_are_counted(tmp_path: Path) -> None:
    rows = [*ALPACA, ROWS["messages"](0)]
    assert read_data(array(tmp_path / "a.json", rows), option="--data").format == (
        "5 alpaca, 1 messages"
    )


def test_the_fingerprint_is_of_what_the_rows_say(tmp_path: Path) -> None:
    first = read_data(array(tmp_path / "a.json", ALPACA), option="--data")
    second = read_data(table(tmp_path / "b.csv"), option="--data")
    assert first.fingerprint == second.fingerprint
    third = read_data(array(tmp_path / "c.json", ALPACA[1:]), option="--data")
    assert third.fingerprint != first.fingerprint
