"""Files of texts: plain lines or JSON lines, and what is said of bad ones."""

from __future__ import annotations

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.texts import parse_texts


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\n\n  two \r\n", ["one", "two"]),
        ("a.txt", '\ufeff{"not": "json here"}', ['{"not": "json here"}']),
        ("a.jsonl", '{"instruction": "one", "output": "x"}\n{"prompt": "two"}', ["one", "two"]),
        ("a.jsonl", '"one"\n{"text": "two "}\n{"question": "three"}', ["one", "two", "three"]),
    ],
)
def test_texts(name: str, content: str, expected: list[str]) -> None:
    assert parse_texts(content.encode(), name, "--avoid") == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\n \n", "a.txt: holds no text"),
        ("a.txt", b"\xff\xfe", "a.txt: is UTF-16 text; save it as UTF-8"),
        ("a.jsonl", b'{"instruction": "one"}\n{oops', "a.jsonl:2: is not JSON"),
        ("a.jsonl", b'{"output": "x"}', "a.jsonl:1: holds no text"),
        ("a.jsonl", b'"\\ud800"', "a.jsonl:1: holds half a character"),
        ("a.jsonl", b"[1]", "a.jsonl:1: holds no text"),
        ("a.jsonl", b'{"instruction": " "}', "a.jsonl:1: holds no text"),
    ],
)
def test_bad_files(name: str, content: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_texts(content, name, "--avoid")
    assert message in str(caught.value)
