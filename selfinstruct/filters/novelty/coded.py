"""Many texts at once as numbers of their tokens, by columns instead of text by text.

An ASCII text has the same tokens under every tokenizer and version of tokens.py: its runs of
letters and digits, in lower case. Compiled code cuts those out (words.py). Other texts are split
one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selfinstruct.filters.novelty.words import Words

_BATCH = 50_000  # texts; bounds the memory that cutting takes


@dataclass(frozen=True)
class CodedTexts:
    """The tokens of texts, as numbers.

    starts: where each text begins in `tokens`; one more entry for the end.
    tokens: of all texts, one after the other.
    numbers: of the different tokens.
    other: numbers of the texts that are not ASCII.
    """

    starts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    numbers: dict[str, int]
    other: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, number: int) -> NDArray[np.int32]:
        """Return the tokens of a text."""
        return self.tokens[self.starts[number] : self.starts[number + 1]]

    def split_otherwise(
        self, text_of: Callable[[int], str], split: Callable[[str], list[str]]
    ) -> CodedTexts:
        """Return the same texts with other tokens where they are not ASCII."""
        numbers = dict(self.numbers)
        own = [
            np.array([_number(word, numbers) for word in split(text_of(text))], np.int32)
            for text in self.other.tolist()
        ]
        before = [self.of(text) for text in self.other.tolist()]
        if all(map(np.array_equal, own, before)):
            return self
        sizes, tokens = _replaced(self.starts, self.tokens, self.other, own)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return CodedTexts(starts, tokens, numbers, self.other)


def coded_texts(chunks: Iterable[pa.Array], split: Callable[[str], list[str]]) -> CodedTexts:
    """Return the tokens of texts.

    Args:
        chunks: the texts, as arrays of strings; null is a text without tokens.
        split: returns the tokens of a text; called for those that are not ASCII.
    """
    words = Words()
    sizes: list[NDArray[np.int64]] = []
    tokens: list[NDArray[np.int32]] = []
    other: list[NDArray[np.int64]] = []
    done = 0
    for batch in _batches(chunks):
        own_sizes, own_tokens, strange = _coded(batch, split, words)
        sizes.append(own_sizes)
        tokens.append(own_tokens)
        other.append(strange + done)
        done += len(batch)
    starts = np.zeros(done + 1, np.int64)
    if sizes:
        np.cumsum(np.concatenate(sizes), out=starts[1:])
    flat = np.concatenate(tokens) if tokens else np.empty(0, np.int32)
    strange = np.concatenate(other) if other else np.empty(0, np.int64)
    return CodedTexts(starts, flat, words.numbers(), strange)


def _coded(
    batch: pa.Array, split: Callable[[str], list[str]], words: Words
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return the sizes and tokens of a batch, and which of its texts are not ASCII."""
    sizes, codes = words.cut(*_bytes_of(batch))
    strange = np.flatnonzero(sizes < 0)
    if not len(strange):
        return sizes, codes, strange
    sizes[strange] = 0
    starts = np.concatenate([[0], np.cumsum(sizes)])
    own = [
        np.array([words.number(word) for word in split(batch[text].as_py())], np.int32)
        for text in strange.tolist()
    ]
    return *_replaced(starts, codes, strange, own), strange


def _batches(chunks: Iterable[pa.Array]) -> Iterator[pa.Array]:
    """Yield the texts of small arrays together, and those of large ones in parts."""
    waiting: list[pa.Array] = []
    for chunk in chunks:
        for begin in range(0, len(chunk), _BATCH):
            waiting.append(chunk.slice(begin, _BATCH))
            if sum(map(len, waiting)) >= _BATCH:
                yield pa.concat_arrays(waiting)
                waiting = []
    if waiting:
        yield pa.concat_arrays(waiting)


def _replaced(
    starts: NDArray[np.int64],
    tokens: NDArray[np.int32],
    texts: NDArray[np.int64],
    own: list[NDArray[np.int32]],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the sizes and tokens of all texts, with other tokens of some."""
    pieces, sizes, at = [], np.diff(starts), 0
    for text, more in zip(texts.tolist(), own, strict=True):
        pieces += [tokens[at : starts[text]], more]
        sizes[text], at = len(more), starts[text + 1]
    return sizes, np.concatenate([*pieces, tokens[at:]])


def _bytes_of(batch: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return where each text begins and ends in the bytes of all of them, and those bytes."""
    filled = pa.concat_arrays([batch.fill_null("")]).cast(pa.large_string())
    _, places, data = filled.buffers()
    offsets = np.frombuffer(places, np.int64)[filled.offset : filled.offset + len(filled) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    content = np.frombuffer(data or b" ", np.uint8)[first:last]
    return offsets - first, content


def _number(word: str, numbers: dict[str, int]) -> int:
    return numbers.setdefault(word, len(numbers))
