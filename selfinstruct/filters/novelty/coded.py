"""Many texts at once as numbers of their tokens, by columns instead of text by text.

An ASCII text has the same tokens under every tokenizer and version of tokens.py: its runs of
letters and digits, in lower case. Those are cut out of the bytes of all texts together. Other texts
are split one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BATCH = 50_000  # texts; bounds the memory that cutting takes
# The lower-case letter or digit that a byte stands for; 0: none.
_LETTERS = np.array(
    [ord(chr(b).lower()) if b < 0x80 and chr(b).isalnum() else 0 for b in range(256)], np.uint8
)


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
    numbers: dict[str, int] = {}
    sizes: list[NDArray[np.int64]] = []
    tokens: list[NDArray[np.int32]] = []
    other: list[NDArray[np.int64]] = []
    done = 0
    for batch in _batches(chunks):
        own_sizes, own_tokens, strange = _coded(batch, split, numbers)
        sizes.append(own_sizes)
        tokens.append(own_tokens)
        other.append(strange + done)
        done += len(batch)
    starts = np.zeros(done + 1, np.int64)
    if sizes:
        np.cumsum(np.concatenate(sizes), out=starts[1:])
    flat = np.concatenate(tokens) if tokens else np.empty(0, np.int32)
    strange = np.concatenate(other) if other else np.empty(0, np.int64)
    return CodedTexts(starts, flat, numbers, strange)


def _coded(
    batch: pa.Array, split: Callable[[str], list[str]], numbers: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return the sizes and tokens of a batch, and which of its texts are not ASCII."""
    offsets, content = _bytes_of(batch)
    words, places = _cut(offsets, content)
    encoded = words.dictionary_encode()
    known = [_number(word, numbers) for word in encoded.dictionary.to_pylist()]
    codes = np.array(known, np.int32)[encoded.indices.to_numpy(zero_copy_only=False)]
    starts = np.searchsorted(places, offsets)
    high = np.flatnonzero(content >= 0x80)
    strange = np.unique(np.searchsorted(offsets, high, side="right") - 1)
    if not len(strange):
        return np.diff(starts), codes.astype(np.int32, copy=False), strange
    own = [
        np.array([_number(word, numbers) for word in split(batch[text].as_py())], np.int32)
        for text in strange.tolist()
    ]
    return *_replaced(starts, codes.astype(np.int32, copy=False), strange, own), strange


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
    content = np.frombuffer(data, np.uint8)[first:last] if data else np.empty(0, np.uint8)
    return offsets - first, content


def _cut(
    offsets: NDArray[np.int64], content: NDArray[np.uint8]
) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the words of ASCII texts in lower case, and where each begins in their bytes."""
    letters = _LETTERS[content]
    inside = letters != 0
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    heads = offsets[:-1][offsets[:-1] < len(content)]
    begins[heads] = inside[heads]
    joined = letters[inside]
    cuts = np.append(np.flatnonzero(begins[inside]), len(joined)).astype(np.int64)
    words = pa.LargeStringArray.from_buffers(
        len(cuts) - 1, pa.py_buffer(cuts.tobytes()), pa.py_buffer(joined.tobytes())
    )
    return words, np.flatnonzero(begins)


def _number(word: str, numbers: dict[str, int]) -> int:
    return numbers.setdefault(word, len(numbers))
