"""Many texts as numbers of their tokens: the same tokens as splitting each text gives."""

from __future__ import annotations

import random
import re

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.filters.novelty.coded import CodedTexts, coded_texts

# Few letters, so that words meet again; a Kelvin sign is not ASCII, but "k" in lower case is.
ALPHABET = "abAB01 _-.\n\x00éß写K"


def split(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def tokens_of(text: str) -> list[str]:
    """Return what is to come out: an ASCII text is split at all but letters and digits."""
    return re.findall(r"[a-z0-9]+", text.lower()) if text.isascii() else split(text)


def words(coded: CodedTexts, number: int) -> list[str]:
    name_of = {number: word for word, number in coded.numbers.items()}
    assert len(name_of) == len(coded.numbers)
    return [name_of[token] for token in coded.of(number).tolist()]


TEXTS = st.lists(st.none() | st.text(ALPHABET, max_size=40), max_size=30)


@settings(deadline=None)  # the first one compiles
@given(texts=TEXTS, cut=st.integers(0, 30))
def test_tokens_are_those_of_each_text(texts: list[str | None], cut: int) -> None:
    chunks = [pa.array(part, pa.string()) for part in (texts[:cut], texts[cut:])]
    coded = coded_texts(chunks, split)
    assert len(coded) == len(texts)
    for number, text in enumerate(texts):
        assert words(coded, number) == tokens_of(text or "")
    other = [number for number, text in enumerate(texts) if text and not text.isascii()]
    assert coded.other.tolist() == other


def test_more_words_than_the_table_has_room_for_at_first() -> None:
    rng = random.Random(0)
    texts = [" ".join(f"w{rng.randrange(30_000)}" for _ in range(40)) for _ in range(2000)]
    texts.insert(1000, "é " + " ".join(f"x{number}" for number in range(5000)))
    texts.append(" ".join(f"y{number}" for number in range(20_000)))  # more than twice the table
    coded = coded_texts([pa.array(texts)], split)
    name_of = {number: word for word, number in coded.numbers.items()}
    for number, text in enumerate(texts):
        assert [name_of[token] for token in coded.of(number).tolist()] == text.split()
