"""The common subsequence that the ROUGE-L of two texts counts, as characters of both."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from selfinstruct.filters.novelty.tokens import Tokenizer, tokens

Span = tuple[int, int]


@dataclass(frozen=True)
class Alignment:
    """Ranges of characters of both texts, one for each common token, in order.

    tokens, other_tokens: how many each text has.
    """

    marks: Sequence[Span]
    other_marks: Sequence[Span]
    tokens: int
    other_tokens: int


def align(text: str, other: str, tokenizer: Tokenizer) -> Alignment:
    """Return a longest common subsequence of the tokens of two texts, by its characters."""
    from rapidfuzz.distance import LCSseq

    one, two = token_spans(text, tokenizer), token_spans(other, tokenizer)
    blocks = LCSseq.opcodes([word for word, _ in one], [word for word, _ in two])
    marks: list[Span] = []
    other_marks: list[Span] = []
    for block in blocks:
        if block.tag == "equal":
            marks += [span for _, span in one[block.src_start : block.src_end]]
            other_marks += [span for _, span in two[block.dest_start : block.dest_end]]
    return Alignment(marks, other_marks, len(one), len(two))


def token_spans(text: str, tokenizer: Tokenizer) -> list[tuple[str, Span]]:
    """Return the tokens of a text, as `filters.tokens` splits it, with their characters.

    Lower-casing and Unicode normalisation change lengths. So each character is folded by itself (if
    it is normalised: each cluster of a letter and its marks), and its origin is noted.
    """
    if tokenizer is Tokenizer.ROUGE:
        pieces = [(match.group().lower(), match.span()) for match in re.finditer(r"(?s).", text)]
    else:
        pieces = [
            (unicodedata.normalize("NFKC", match.group()).casefold(), match.span())
            for match in regex.finditer(r"\X", text)
        ]
    folded = "".join(piece for piece, _ in pieces)
    origin = [span for piece, span in pieces for _ in piece]
    spans: list[tuple[str, Span]] = []
    place = 0
    for word in tokens(text, tokenizer):
        start = folded.find(word, place)
        if start < 0:  # normalisation moved a mark across clusters: it has no place
            spans.append((word, (0, 0)))
            continue
        place = start + len(word)
        spans.append((word, (origin[start][0], origin[place - 1][1])))
    return spans
