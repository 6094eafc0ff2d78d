"""The common subsequence that the ROUGE-L of two texts counts, as characters of both."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from selfinstruct.common.versions import RULES_VERSION, Versioned
from selfinstruct.filters.novelty.tokens import TOKENS, Tokenizer, folded

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


Tokens = Sequence[tuple[str, Span]]


def align(one: Tokens, other: Tokens) -> Alignment:
    """Return a longest common subsequence of the tokens of two texts, by its characters.

    Args:
        one: tokens of a text with their characters, as `token_spans` returns them.
        other: those of the other text.
    """
    from rapidfuzz.distance import LCSseq

    blocks = LCSseq.opcodes([word for word, _ in one], [word for word, _ in other])
    marks: list[Span] = []
    other_marks: list[Span] = []
    for block in blocks:
        if block.tag == "equal":
            marks += [span for _, span in one[block.src_start : block.src_end]]
            other_marks += [span for _, span in other[block.dest_start : block.dest_end]]
    return Alignment(marks, other_marks, len(one), len(other))


def token_spans(
    text: str, tokenizer: Tokenizer, version: int = RULES_VERSION
) -> list[tuple[str, Span]]:
    """Return the tokens of a text, as the rules of a version split it, with their characters.

    Lower-casing and Unicode normalisation change lengths. So each character is folded by itself (if
    it is normalised: each cluster of a letter and its marks), and its origin is noted.
    """
    pattern, fold = _PIECES.at(version)(tokenizer)
    pieces = [(fold(found.group()), found.span()) for found in regex.finditer(pattern, text)]
    folded = "".join(piece for piece, _ in pieces)
    origin = [span for piece, span in pieces for _ in piece]
    spans: list[tuple[str, Span]] = []
    place = 0
    for word in TOKENS.at(version)(text, tokenizer):
        start = folded.find(word, place)
        if start < 0:  # normalisation moved a mark across clusters: it has no place
            spans.append((word, (0, 0)))
            continue
        place = start + len(word)
        spans.append((word, (origin[start][0], origin[place - 1][1])))
    return spans


# Of a tokenizer: the pieces that a text is taken by, and what becomes of each before it is split.
_Pieces = Callable[[Tokenizer], tuple[str, Callable[[str], str]]]


def _pieces(tokenizer: Tokenizer) -> tuple[str, Callable[[str], str]]:
    if tokenizer is Tokenizer.ROUGE:
        return r"(?s).", str.lower
    return r"\X", lambda cluster: unicodedata.normalize("NFKC", cluster).casefold()


def _pieces_3(tokenizer: Tokenizer) -> tuple[str, Callable[[str], str]]:
    if tokenizer is Tokenizer.ROUGE:
        return r"\X", lambda cluster: unicodedata.normalize("NFC", cluster).lower()
    return r"\X", folded


_PIECES: Versioned[_Pieces] = Versioned(_pieces, (3, _pieces_3))
