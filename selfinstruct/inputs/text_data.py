"""Topics, and texts to avoid, from rows of any format; and the file in which a run keeps them."""

from __future__ import annotations

import json

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.purposes import Purpose
from selfinstruct.inputs.read_data import DataFile
from selfinstruct.inputs.texts import JSON_SUFFIXES, parse_texts


def texts_of(file: DataFile, purpose: Purpose) -> list[str]:
    """Return what each row asks: its instruction, or the user's turns.

    Raises:
        ConfigError: a row holds no text.
    """
    return [text for texts in file.converted(purpose, _texts) for text in texts]


def _texts(row: DataRow) -> list[str]:
    if row.instruction is not None:
        texts = [row.instruction.strip()]
    else:
        texts = [turn["content"].strip() for turn in row.prompt if turn["role"] == "user"]
    if not any(texts):
        raise BadRowError(row.where, "holds no text; write one", "no text")
    return [text for text in texts if text]


def stored_texts(file: DataFile, texts: list[str], purpose: Purpose) -> tuple[str, bytes]:
    """Return the suffix and content of the file in which a run keeps texts.

    A user's file that says the same as it is stays as it is.
    """
    path = file.path
    if path is not None and path.is_file():
        content = path.read_bytes()
        suffix = ".jsonl" if path.suffix.lower() in JSON_SUFFIXES else ".txt"
        try:
            if parse_texts(content, path, purpose.option) == texts:
                return suffix, content
        except ConfigError:
            pass  # another format, or lines that were left out
    lines = (json.dumps({"instruction": text}, ensure_ascii=False) + "\n" for text in texts)
    return ".jsonl", "".join(lines).encode()
