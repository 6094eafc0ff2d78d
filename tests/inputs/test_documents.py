"""Documents: where passages begin and end, and what is left out of them."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import extra_line
from selfinstruct.inputs.documents import (
    PassageSize,
    parse_passages,
    passages_bytes,
    read_documents,
    split,
)

SIZE = PassageSize(4, 12)

MARKDOWN = """# The mill

It was built in 1820
to grind rye.

It burned [down](fire.md) in **1904**.

## Its wheel ##

Too short.

Its history
-----------

The flood moved it. Nobody knew how to mend it again, so it stood still for years and years.

| year | what |
|---|---|
| 1820 | built by the miller and his two sons |

The parts of the wheel are:

- the axle, of oak,
- the paddles,
  of ash.

Turn it on with:

```sh
mill --start and wait for a long time until it turns
```

    mill --stop and wait for a long time until it stops

<!-- a comment
of many words that nobody should ever see -->
The end of the story is well known.
"""


def test_passages_end_with_paragraphs_and_headings() -> None:
    assert list(split(MARKDOWN, SIZE)) == [
        # Together they have 13 words.
        ("The mill", "It was built in 1820 to grind rye."),
        ("The mill", "It burned down in 1904."),
        # The sentence after it is too long by itself.
        ("Its history", "The flood moved it."),
        # What announces a list stays with it; what announces code is left out with the code.
        ("Its history", "The parts of the wheel are:\n- the axle, of oak,"),
        ("Its history", "- the paddles, of ash."),
        ("Its history", "The end of the story is well known."),
    ]


def test_a_paragraph_that_is_too_long_is_cut_between_sentences() -> None:
    text = "One two three four. Five six seven eight. Nine ten eleven twelve thirteen."
    assert [passage for _, passage in split(text, SIZE)] == [
        "One two three four. Five six seven eight.",
        "Nine ten eleven twelve thirteen.",
    ]
    # A sentence that is too long by itself is left out.
    assert list(split("word " * 13 + ". One two three four.", SIZE)) == [
        ("", "One two three four.")
    ]


def test_chinese_is_counted_by_its_characters() -> None:
    text = "水磨建于一八二〇年。一九〇四年烧毁。以后没有重建。"
    assert [passage for _, passage in split(text, PassageSize(5, 10))] == [
        "水磨建于一八二〇年。",
        "一九〇四年烧毁。",
        "以后没有重建。",
    ]


def test_a_folder_is_read_with_its_folders_and_each_text_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a.md").write_text("# One\n\nThe mill was built in 1820.\n")
    (tmp_path / "b" / "c.txt").write_text("The mill was built in 1820.\n")
    (tmp_path / "b" / "d.md").write_text("# Two\n\nIt is gone since 1904.\n")
    (tmp_path / "b" / "e.md").write_text("# Two\n\nIt is gone since 1904.\n")
    (tmp_path / "b" / "d.txt").write_text("Here stands [your name] for you.\n")
    (tmp_path / ".hidden" / "e.txt").write_text("Nobody should ever read this.\n")
    (tmp_path / "f.py").write_text("print('this is no document')\n")

    def problem(text: str) -> str | None:
        return "placeholder" if "[" in text else None

    with caplog.at_level(logging.INFO):
        passages = read_documents(tmp_path, PassageSize(4, 6), problem)
    assert [(p.document, p.heading, p.text) for p in passages] == [
        ("a.md", "One", "One\n\nThe mill was built in 1820."),
        ("b/c.txt", "", "The mill was built in 1820."),
        ("b/d.md", "Two", "Two\n\nIt is gone since 1904."),
    ]
    assert passages[2].id.startswith("b/d.md#0-")
    assert "placeholder 1" in caplog.text
    assert parse_passages(passages_bytes(passages), "x") == tuple(passages)
    [alone] = read_documents(tmp_path / "a.md", PassageSize(4, 6), problem)
    assert alone.document == "a.md"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.md", None, "none.md: no such file or folder; check --documents"),
        ("a.docx", b"x", "unknown kind of document; --documents reads .htm, .html, .markdown, .md"),
        ("a.txt", b"\xff", "a.txt: cannot be read"),
        ("a.txt", b"Too short.", "holds no passage of 4 to 12 words"),
        ("folder", None, "folder: no such file"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_documents(path, SIZE, lambda _: None)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no document; --documents reads"):
        read_documents(tmp_path, SIZE, lambda _: None)


@pytest.mark.parametrize(("suffix", "package"), [("pdf", "pypdf"), ("html", "trafilatura")])
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"x")
    with pytest.raises(ConfigError, match=f"needs the package {package}: ") as error:
        read_documents(path, SIZE, lambda _: None)
    assert extra_line("documents") in str(error.value)


def test_html_keeps_its_headings_and_loses_its_menu(tmp_path: Path) -> None:
    pytest.importorskip("trafilatura")
    path = tmp_path / "a.html"
    sentence = "The mill at Hask was built in 1820 to grind rye for all villages along the river. "
    path.write_text(
        "<html><head><title>Mills</title></head><body><nav><a href='/'>Home</a> <a href='/x'>Shop"
        f"</a></nav><article><h1>The mill</h1><p>{sentence * 3}</p><h2>Its end</h2><p>It burned "
        f"down in 1904 and was never rebuilt by anybody. {sentence}</p></article></body></html>"
    )
    passages = read_documents(path, PassageSize(10, 100), lambda _: None)
    assert [passage.heading for passage in passages] == ["The mill", "Its end"]
    assert not any("Shop" in passage.text for passage in passages)


def test_a_pdf_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    path = tmp_path / "a.pdf"
    path.write_bytes(small_pdf("The mill at Hask was built in 1820 to grind rye."))
    [passage] = read_documents(path, SIZE, lambda _: None)
    assert passage.text == "The mill at Hask was built in 1820 to grind rye."
    path.write_bytes(b"%PDF-1.4 no more than that")
    with pytest.raises(ConfigError, match="cannot be read as PDF"):
        read_documents(path, SIZE, lambda _: None)


def small_pdf(text: str) -> bytes:
    """Return a PDF of one page with one line, written by hand."""
    stream = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    content, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    start = len(content)
    content += b"xref\n0 6\n0000000000 65535 f \n"
    content += b"".join(b"%010d 00000 n \n" % place for place in places)
    return content + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start
