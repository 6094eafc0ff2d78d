"""Which characters each token wrote, on real tokenizers that are small enough to work out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfinstruct.engines.detokenize import TokenDecoder, special_ids, token_spans

tokenizers = pytest.importorskip("tokenizers")

END, STAMP = 256, 257  # a special token, and an added one that is text


def byte_tokenizer() -> Any:
    """Byte-level BPE without merges: one token for each byte of UTF-8."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: number for number, character in enumerate(alphabet)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([tokenizers.AddedToken("<|end|>", special=True)])
    tokenizer.add_tokens([tokenizers.AddedToken("<stamp>", special=False)])
    return tokenizer


def merged_tokenizer() -> Any:
    """The same with merges: tokens end within characters, and after more than one."""
    tokenizer = byte_tokenizer()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["a 漢字 é🙂 漢 🙂🙂 ß щx 字é " * 20, "\ufffd the \n\tzé"], trainer
    )
    return tokenizer


BYTES = byte_tokenizer()
MERGED = merged_tokenizer()
SPECIAL = special_ids(BYTES)

# U+FFFD stands for a broken character in decoded text, see below.
TEXTS = st.text(
    st.sampled_from("aZ 7é\u0301ßщ漢字🙂👩\u200d👧🏽\n\t\x00")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"),
    max_size=30,
).filter(lambda text: "<" not in text)


def encode(text: str) -> list[int]:
    return list(BYTES.encode(text, add_special_tokens=False).ids)


def by_hand(text: str) -> list[tuple[int, int]]:
    """Each character's range, once for each of its bytes."""
    return [
        (position, position + 1)
        for position, character in enumerate(text)
        for _ in character.encode()
    ]


def spans(prompt: list[int], tokens: list[int]) -> tuple[str, list[tuple[int, int]]]:
    text, starts, ends = token_spans(BYTES, SPECIAL, prompt, tokens)
    return text, list(zip(starts, ends, strict=True))


def test_special_ids_are_the_special_tokens_alone() -> None:
    added = {token.content for token in BYTES.get_added_tokens_decoder().values()}
    assert added == {"<|end|>", "<stamp>"}
    assert special_ids(BYTES) == {BYTES.token_to_id("<|end|>")} == {END}


def test_the_parts_of_a_character_have_its_range() -> None:
    assert spans([], encode("aé🙂")) == (
        "aé🙂",
        [(0, 1), (1, 2), (1, 2), (2, 3), (2, 3), (2, 3), (2, 3)],
    )


def test_a_special_token_has_an_empty_range() -> None:
    tokens = [END, *encode("a"), END, *encode("é"), END]
    assert spans([], tokens) == ("aé", [(0, 0), (0, 1), (1, 1), (1, 2), (1, 2), (2, 2)])


def test_an_added_token_that_is_text_has_the_range_of_its_text() -> None:
    assert spans([], [*encode("a"), STAMP, *encode("b")]) == (
        "a<stamp>b",
        [(0, 1), (1, 8), (8, 9)],
    )


def test_a_character_that_is_cut_off_writes_nothing() -> None:
    assert spans([], encode("a🙂")[:3]) == ("a", [(0, 1), (1, 1), (1, 1)])


def test_no_tokens_write_nothing() -> None:
    assert token_spans(BYTES, SPECIAL, encode("a prompt"), []) == ("", [], [])


def test_a_leading_space_depends_on_the_prompt() -> None:
    words = {"▁the": 0, "▁bird": 1}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="▁the"))
    tokenizer.decoder = tokenizers.decoders.Metaspace(prepend_scheme="always")
    assert token_spans(tokenizer, frozenset(), [0], [1, 0]) == (" bird the", [0, 5], [5, 9])
    assert token_spans(tokenizer, frozenset(), [], [1, 0]) == ("bird the", [0, 4], [4, 8])


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_the_text_comes_back_and_each_token_has_its_character(prompt: str, text: str) -> None:
    decoded, found = spans(encode(prompt), encode(text))
    assert decoded == text
    assert found == by_hand(text)
    covered = {position for start, end in found for position in range(start, end)}
    assert covered == set(range(len(text)))


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_special_tokens_between_texts_change_no_range(pieces: list[str]) -> None:
    tokens = [token for piece in pieces for token in [*encode(piece), END]]
    text, found = spans([], tokens)
    assert text == "".join(pieces)
    written = [span for span, token in zip(found, tokens, strict=True) if token != END]
    assert written == by_hand(text)
    empty = [span for span, token in zip(found, tokens, strict=True) if token == END]
    assert all(start == end for start, end in empty)


@settings(deadline=None)
@given(st.lists(st.integers(0, STAMP), max_size=30))
def test_any_tokens_are_decoded_as_far_as_their_characters_are_whole(tokens: list[int]) -> None:
    text, starts, ends = token_spans(BYTES, SPECIAL, [], tokens)
    assert BYTES.decode(tokens).rstrip("\ufffd") == text.rstrip("\ufffd")
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    assert all(0 <= start <= end <= len(text) for start, end in zip(starts, ends, strict=True))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, 399), max_size=6), st.lists(st.integers(0, 399), max_size=20))
@example([], [])
def test_bytes_give_what_the_tokenizer_gives_for_any_tokens(
    prompt: list[int], tokens: list[int]
) -> None:
    for tokenizer in (BYTES, MERGED):
        special = special_ids(tokenizer)
        plain = plainly(tokenizer, special, prompt, tokens)
        if plain is not None:
            assert TokenDecoder(tokenizer).spans(prompt, tokens) == plain


@settings(deadline=None, max_examples=200)
@given(TEXTS | st.just("\ufffd"), st.lists(TEXTS | st.just("a\ufffd"), max_size=4), st.data())
def test_bytes_give_what_the_tokenizer_gives_for_texts(
    prompt: str, pieces: list[str], data: st.DataObject
) -> None:
    for tokenizer in (BYTES, MERGED):
        special = special_ids(tokenizer)

        def ids(text: str, tokenizer: Any = tokenizer) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False).ids)

        tokens = [one for piece in pieces for one in [*ids(piece), *special]]
        tokens = tokens[: data.draw(st.integers(0, len(tokens)))]
        plain = plainly(tokenizer, special, ids(prompt), tokens)
        if plain is not None:
            assert TokenDecoder(tokenizer).spans(ids(prompt), tokens) == plain


def plainly(
    tokenizer: Any, special: frozenset[int], prompt: list[int], tokens: list[int]
) -> tuple[str, list[int], list[int]] | None:
    """Return the spans as the tokenizer decodes them; None where it gives up on them."""
    try:
        return token_spans(tokenizer, special, prompt, tokens)
    except Exception:  # noqa: BLE001 (the library raises no other)
        return None
