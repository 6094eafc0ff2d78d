"""Documents that tasks are about: read from files, and cut into passages.

A passage lies under one heading and ends where a paragraph ends. Its id names the document, its
place there and its content: `run.md#4-3fa91c`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.installing import extra_line
from selfinstruct.filters.length import count_words
from selfinstruct.inputs.markup import heading_of, without_markup

log = logging.getLogger(__name__)

PASSAGES_FILE = "passages.jsonl"


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document; `text` begins with the `heading` that it stands under, if any."""

    id: str
    document: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class PassageSize:
    """Words of a passage: at least, and at most; `count` counts the words of a text."""

    least: int
    most: int
    count: Callable[[str], int] = count_words


def read_documents(
    path: Path, size: PassageSize, problem: Callable[[str], str | None]
) -> list[Passage]:
    """Return the passages of a file, or of all files of a folder and those in it.

    A text that occurs twice is taken once.

    Args:
        path: a file, or a folder.
        size: of a passage.
        problem: the reason for which no task about a text could be accepted, or None.

    Raises:
        ConfigError: nothing can be read, a package is missing, or no passage is left.
    """
    passages: dict[str, Passage] = {}
    dropped: Counter[str] = Counter()
    for file in _files(path):
        name = file.name if file == path else file.relative_to(path).as_posix()
        for number, (heading, body) in enumerate(split(_READERS[file.suffix.lower()](file), size)):
            text = f"{heading}\n\n{body}" if heading else body
            reason = problem(text)
            if reason is not None:
                dropped[reason] += 1
                continue
            digest = hashlib.sha256(text.encode()).hexdigest()[:6]
            id = ids.document_passage(name, number, digest)
            passages.setdefault(text, Passage(id, name, heading, text))
    if dropped:
        counts = ", ".join(f"{reason} {count}" for reason, count in dropped.most_common())
        log.info("%s: left out passages that the rules on inputs reject: %s", path, counts)
    if not passages:
        raise ConfigError(
            f"{path}: holds no passage of {size.least} to {size.most} words that the rules accept; "
            "check --documents, or lower passages.least_words"
        )
    return list(passages.values())


def passages_bytes(passages: Sequence[Passage]) -> bytes:
    """Return passages as the run keeps them: one JSON object a line."""
    return "".join(json.dumps(asdict(p), ensure_ascii=False) + "\n" for p in passages).encode()


def parse_passages(content: bytes, path: Path | str) -> tuple[Passage, ...]:
    """Return the passages of a run's own file.

    Raises:
        ConfigError: a line is damaged.
    """
    passages = []
    for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
        try:
            passages.append(Passage(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}:{number}: is not a passage ({why(error)})") from error
    return tuple(passages)


def split(text: str, size: PassageSize) -> Iterator[tuple[str, str]]:
    """Yield (heading, passage) of a text in Markdown or plain text.

    Paragraphs are joined up to the most words; what is shorter than the least words at the end of
    a section is left out, and so is code. A paragraph that is too long is cut between sentences.
    """
    for heading, paragraphs in _sections(text):
        held: list[str] = []
        words = 0
        for piece in (piece for one in paragraphs for piece in _pieces(one, size)):
            length = size.count(piece)
            if held and words + length > size.most:
                if words >= size.least:
                    yield heading, "\n\n".join(held)
                held, words = [], 0
            held.append(piece)
            words += length
        if words >= size.least:
            yield heading, "\n\n".join(held)


_UNDERLINE = re.compile(r"(?:=+|-{3,})\s*$")
_FENCE = re.compile(r"\s*(?:```|~~~)")


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each heading with the paragraphs under it, as plain text."""
    text = without_markup(text)
    heading, fenced = "", False
    paragraphs: list[str] = []
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        if _FENCE.match(line):
            fenced = not fenced
            if lines:
                paragraphs.append(_paragraph(lines))
            lines = []
            paragraphs.append("")  # in place of the code
            continue
        if fenced:
            continue
        found = heading_of(line)
        under = bool(len(lines) == 1 and _UNDERLINE.match(line))
        if found is not None or under or not line.strip():
            if lines and not under:
                paragraphs.append(_paragraph(lines))
            if found is not None or under:
                yield heading, _with_announcements(paragraphs)
                heading, paragraphs = lines[0].strip() if found is None else found, []
            lines = []
        else:
            lines.append(line)
    yield heading, _with_announcements(paragraphs)


def _paragraph(lines: Sequence[str]) -> str:
    """Return a paragraph as one line, a list as a line for each item; empty: a table, or code."""
    if any(line.lstrip().startswith("|") for line in lines):
        return ""
    if all(line.startswith(("    ", "\t")) for line in lines):
        return ""  # code
    joined: list[str] = []
    for line in lines:
        is_item = re.match(r"\s*(?:[-*+]|\d+[.)])\s", line)
        if joined and not is_item:
            joined[-1] += " " + line.strip()
        else:
            joined.append(line.strip())
    return "\n".join(joined)


def _with_announcements(paragraphs: Sequence[str]) -> list[str]:
    """Join what ends with a colon to what it announces; with code or a table, leave it out."""
    joined: list[str] = []
    announced = ""
    for paragraph in paragraphs:
        text = f"{announced}\n{paragraph}" if announced and paragraph else paragraph
        announced = ""
        if text.endswith(":"):
            announced = text
        elif text:
            joined.append(text)
    return joined


# Lines, and the sentences in them.
_PARTS = re.compile(r".*?(?:[.!?](?=\s)\s+|[。！？]|\n|\Z)", re.DOTALL)  # noqa: RUF001


def _pieces(paragraph: str, size: PassageSize) -> Iterator[str]:
    """Yield a paragraph, cut between lines and sentences where it has too many words.

    A sentence that is too long by itself is left out.
    """
    if size.count(paragraph) <= size.most:
        yield paragraph
        return
    held, words = "", 0
    for part in _PARTS.findall(paragraph):
        length = size.count(part)
        if words and words + length > size.most:
            yield held.strip()
            held, words = "", 0
        if length <= size.most:
            held += part
            words += length
    if words:
        yield held.strip()


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder; check --documents")
    kinds = ", ".join(sorted(_READERS))
    if path.is_file():
        if path.suffix.lower() not in _READERS:
            raise ConfigError(f"{path}: unknown kind of document; --documents reads {kinds}")
        return [path]
    files = [one for one in sorted(path.rglob("*")) if one.is_file() and not _hidden(one, path)]
    known = [one for one in files if one.suffix.lower() in _READERS]
    if not known:
        raise ConfigError(f"{path}: holds no document; --documents reads {kinds}")
    return known


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({why(error)}); check --documents") from error


def _pdf(path: Path) -> str:
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as error:
        raise ConfigError(
            f"{path}: PDF needs the package pypdf: {extra_line('documents')}"
        ) from error
    try:
        return "\n\n".join(page.extract_text() for page in PdfReader(path).pages)
    except (PyPdfError, OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as PDF ({why(error)}); check it") from error


def _html(path: Path) -> str:
    try:
        from trafilatura import extract
    except ImportError as error:
        raise ConfigError(
            f"{path}: HTML needs the package trafilatura: {extra_line('documents')}"
        ) from error
    # Markdown keeps the headings; what is no main text (menus, footers) is left out.
    return extract(_text(path), output_format="markdown", include_comments=False) or ""


_READERS: Mapping[str, Callable[[Path], str]] = {
    ".txt": _text,
    ".md": _text,
    ".markdown": _text,
    ".pdf": _pdf,
    ".html": _html,
    ".htm": _html,
}
