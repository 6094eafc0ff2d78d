"""Leave out training rows that repeat the texts of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfinstruct.config.schema import NoveltyConfig
from selfinstruct.dataset.read import read_any
from selfinstruct.filters.ngrams import ngrams
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.inputs.purposes import DECONTAMINATE
from selfinstruct.train.data.turns import TrainRow


@dataclass(frozen=True, slots=True)
class Contamination:
    """A removed row, the text that it repeats, and how it does: `rouge_l` or `13-gram`."""

    row: TrainRow
    text: str
    how: str


def read_avoided(data: str | Path) -> list[str]:
    """Return the texts of an evaluation: what is asked with its input, then without.

    Raises:
        ConfigError: they cannot be read.
    """
    rows = read_any(data, "--decontaminate").converted(DECONTAMINATE, lambda row: row)
    turns = [turn["content"] for row in rows for turn in row.prompt if turn["role"] == "user"]
    instructions = [row.instruction for row in rows if row.instruction is not None]
    return [text.strip() for text in (*turns, *instructions) if text.strip()]


def decontaminate(
    rows: Sequence[TrainRow], texts: Iterable[str], threshold: float
) -> tuple[list[TrainRow], list[Contamination]]:
    """Remove rows that repeat a text of an evaluation.

    Args:
        rows: training rows.
        texts: instructions (and inputs) of the evaluation.
        threshold: a row is removed if its instruction has a ROUGE-L above this with a text. A
            row that shares a run of words with a text (`ngrams`) is removed too.
    """
    avoided = list(texts)
    index = NoveltyIndex(threshold, NoveltyConfig().tokenizer)
    index.add_all((str(number), text) for number, text in enumerate(avoided))
    grams = {gram: text for text in avoided for gram in ngrams(text)}
    kept: list[TrainRow] = []
    removed: list[Contamination] = []
    for row in rows:
        asked = (row.instruction, *row.users[1:])
        near = (index.nearest(text, threshold) for text in asked)
        match = next((nearest for nearest in near if nearest is not None), None)
        written = "\n".join(turn["content"] for turn in row.messages)
        shared = next((g for g in ngrams(written) if g in grams), None)
        if match is not None:
            removed.append(Contamination(row, avoided[int(match.id)], "rouge_l"))
        elif shared is not None:
            removed.append(Contamination(row, grams[shared], "13-gram"))
        else:
            kept.append(row)
    return kept, removed
