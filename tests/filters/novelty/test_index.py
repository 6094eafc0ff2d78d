"""The ROUGE-L index decides, and scores, exactly as rouge-score does."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer, _score_lcs

from selfinstruct.common.versions import Versioned
from selfinstruct.filters.novelty.index import Match, NoveltyIndex
from selfinstruct.filters.novelty.tokens import (
    Tokenizer,
    choose_tokenizer_3,
    tokens,
    tokens_3,
)
from selfinstruct.inputs.seeds import parse_seeds, shipped_seeds

ORACLE = RougeScorer(["rougeL"], use_stemmer=False)

SEVEN = "a b c d e f g"
THIRTEEN = "a b c d e f g h i j k l m"  # LCS 7: F = 2 * 7 / (7 + 13)

WORDS = st.sampled_from(["name", "Name", "a", "BIRD", "7", "42nd", "the", "bird"])
TEXTS = st.lists(WORDS, min_size=1, max_size=40).map(" ".join)
THRESHOLDS = st.sampled_from([0.0, 0.3, 0.5, 0.6, 2 / 3, 0.7, 0.8, 1.0]) | st.floats(0, 1)


def rouge_l(pooled: str, text: str) -> float:
    return float(ORACLE.score(pooled, text)["rougeL"].fmeasure)


def index_of(*texts: str, threshold: float = 0.7, tokenizer: str = "auto") -> NoveltyIndex:
    index = NoveltyIndex(threshold, tokenizer)
    for number, text in enumerate(texts):
        index.add(f"t{number}", text)
    return index


def expected(pool: list[str], text: str, floor: float) -> Match | None:
    scores = [rouge_l(pooled, text) for pooled in pool]
    best = max(scores)
    return Match(f"t{scores.index(best)}", best) if best > floor else None


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS, THRESHOLDS)
@example([SEVEN], THIRTEEN, 0.7)
@example([THIRTEEN], SEVEN, 0.7)
def test_the_index_decides_as_rouge_score_does(
    pool: list[str], text: str, threshold: float
) -> None:
    found = index_of(*pool, threshold=threshold).nearest(text)
    assert found == expected(pool, text, threshold)  # the floats too, to the last bit


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS)
def test_the_nearest_text_has_exactly_the_score_of_rouge_score(pool: list[str], text: str) -> None:
    assert index_of(*pool).nearest(text, floor=0.0) == expected(pool, text, 0.0)


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.text(max_size=20))
def test_any_text_is_tokenised_as_rouge_score_does(pool: list[str], text: str) -> None:
    index = index_of(*pool, tokenizer="rouge")
    assert index.nearest(text, floor=0.0) == expected(pool, text, 0.0)


@pytest.mark.parametrize(("pooled", "text"), [(SEVEN, THIRTEEN), (THIRTEEN, SEVEN)])
def test_a_score_that_floats_just_above_the_threshold_is_a_repeat(pooled: str, text: str) -> None:
    assert rouge_l(pooled, text) == 0.7000000000000001
    assert index_of(pooled).nearest(text) == Match("t0", 0.7000000000000001)


def test_a_score_at_the_threshold_is_novel() -> None:
    # LCS 1 of 2 and 2 tokens: F = 0.5
    assert index_of("a b", threshold=0.5).nearest("b c") is None
    assert index_of("a b", threshold=0.49).nearest("b c") == Match("t0", 0.5)


def test_ties_go_to_the_text_that_was_added_first() -> None:
    index = index_of("x y z", "name a bird", "NAME, a bird!", "name a bird")
    assert index.nearest("Name a bird.") == Match("t1", 1.0)


def test_a_subsequence_counts_and_a_set_of_words_does_not() -> None:
    index = index_of("one two three four", threshold=0.0)
    assert index.nearest("four three two one") == Match("t0", 0.25)
    assert index.nearest("one x two x three x four") == Match("t0", 8 / 11)


def test_words_are_not_stemmed() -> None:
    assert index_of("birds singing", threshold=0.0).nearest("bird sings") is None


def test_the_floor_stands_in_for_the_threshold() -> None:
    index = index_of("a b", threshold=0.9)
    assert index.nearest("b c") is None
    assert index.nearest("b c", floor=0.4) == Match("t0", 0.5)
    assert index.nearest("a b", floor=1.0) is None


@pytest.mark.parametrize(
    ("text", "tokenizer"), [("", "auto"), ("…!?", "auto"), ("写一首诗", "rouge"), ("é", "rouge")]
)
def test_a_text_without_tokens_is_near_to_nothing(text: str, tokenizer: str) -> None:
    index = index_of("name a bird", text, tokenizer=tokenizer)
    assert not index.scorable(text)
    assert index.nearest(text, floor=0.0) is None
    assert index.nearest("name a bird") == Match("t0", 1.0)
    assert len(index) == 2


def test_a_text_with_a_token_is_scorable() -> None:
    assert NoveltyIndex().scorable("写 7 首诗")


@pytest.mark.parametrize(
    ("pooled", "text", "score"),
    [
        ("写一首关于春天的诗。", "写一首关于秋天的诗", 8 / 9),
        ("वसंत के बारे में एक कविता लिखो", "वसंत के बारे में एक गीत लिखो", 6 / 7),
        ("اكتب قصيدة عن الربيع", "اكتب قصيدة عن الشتاء", 3 / 4),
        ("Напиши стихи про весну", "НАПИШИ стихи про весну!", 1.0),
        # An English text's tokens are its Unicode words.
        ("Write x poem 春", "春 书 诗 x", 1 / 4),
    ],
)
def test_other_languages_are_compared_in_unicode_words(
    pooled: str, text: str, score: float
) -> None:
    index = index_of("name a bird", pooled, threshold=0.0)
    assert index.tokenizer_of(text) is Tokenizer.UNICODE
    match = index.nearest(text)
    assert match is not None
    assert (match.id, match.score) == ("t1", pytest.approx(score))


def test_before_version_3_half_of_the_letters_decide() -> None:
    index = NoveltyIndex(version=2)
    assert index.tokenizer_of("ab 春天") is Tokenizer.ROUGE
    assert index.tokenizer_of("a 春天") is Tokenizer.UNICODE
    assert index.tokenizer_of("Größe und Länge") is Tokenizer.ROUGE
    assert index.tokenizer_of("…") is Tokenizer.ROUGE


NOT_ALIKE = [
    ("Viết về bố.", "Viết về bò.", 2 / 3),
    ("Schön war die Größe.", "Schon war die Große.", 2 / 4),
    ("Résume le texte.", "Resume le texte.", 2 / 3),
    ("Şiir yaz, aşk üzerine.", "Siir yaz, ask uzerine.", 1 / 4),
]


@pytest.mark.parametrize(("pooled", "text", "score"), NOT_ALIKE)
def test_letters_with_diacritics_are_letters(pooled: str, text: str, score: float) -> None:
    for one, other in ((pooled, text), (text, pooled)):
        index = index_of("name a bird", one, threshold=0.0)
        match = index.nearest(other)
        assert match is not None
        assert (match.id, match.score) == ("t1", pytest.approx(score))
    assert rouge_l("Viết về bố.", "Viết về bò.") == 1.0  # what the paper's tokens say


@pytest.mark.parametrize("tokenizer", ["auto", "rouge", "unicode"])
@pytest.mark.parametrize("text", ["Écris un poème", "Größe und Länge", "한국의 시", "Viết về bò"])
def test_forms_of_unicode_do_not_matter(text: str, tokenizer: str) -> None:
    index = index_of(unicodedata.normalize("NFD", text), tokenizer=tokenizer)
    if index.scorable(text):
        assert index.nearest(unicodedata.normalize("NFC", text)) == Match("t0", 1.0)


# Words with the same letters for rouge-score, in several languages and forms.
MIXED = st.lists(
    st.sampled_from(
        ["name", "bố", "bò", "b", "bo\u0302\u0301", "grösse", "Größe", "gr", "诗", "7"]
    ),
    min_size=1,
    max_size=12,
).map(" ".join) | st.text(max_size=12)


def f_measure_of(one: list[str], other: list[str]) -> float:
    return float(_score_lcs(one, other).fmeasure) if one and other else 0.0


@settings(deadline=None)
@given(st.lists(MIXED, min_size=1, max_size=8), MIXED, THRESHOLDS)
def test_a_pool_of_many_languages_is_compared_by_the_definition(
    pool: list[str], text: str, floor: float
) -> None:
    """Rouge-score's tokens of each text where they lose nothing, else its Unicode words."""
    split = [tokens_3(other, choose_tokenizer_3(other, "auto")) for other in (*pool, text)]
    scores = [f_measure_of(other, split[-1]) for other in split[:-1]]
    best = max(scores)
    found = index_of(*pool, threshold=floor).nearest(text)
    assert found == (Match(f"t{scores.index(best)}", best) if best > floor else None)
    backwards = [f_measure_of(split[-1], other) for other in split[:-1]]
    assert backwards == pytest.approx(scores)  # it does not matter which of two is the query


def test_an_empty_pool_is_near_to_nothing() -> None:
    assert NoveltyIndex().nearest("name a bird", floor=0.0) is None


def test_a_text_of_very_many_words() -> None:
    words = [f"w{number}" for number in range(20_000)]
    index = index_of(" ".join(words), threshold=0.0)
    index.add("last", "one two three")
    index.add("next", "four five six")
    assert index.nearest("one two three") == Match("last", 1.0)
    assert index.nearest("four two six") == Match("next", 2 / 3)
    half = index.nearest(" ".join(words[:10_000]))
    assert half is not None
    assert (half.id, half.score) == ("t0", pytest.approx(2 / 3))


FEW = st.integers(0, 11).map(lambda number: f"w{number}")
CROWDED = st.lists(st.lists(FEW, min_size=1, max_size=12), min_size=90, max_size=170)


@settings(deadline=None, max_examples=40)
@given(CROWDED, st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.9]) | st.floats(0, 1))
def test_insert_or_reject_in_a_growing_pool(pool: list[list[str]], floor: float) -> None:
    """Few words, so that texts overlap heavily; enough texts for the order to be made anew."""
    index = NoveltyIndex(0.7)
    kept: list[list[str]] = []
    for number, words in enumerate(pool):
        scores = [_score_lcs(other, words).fmeasure for other in kept]
        best = max(scores, default=0.0)
        nearest = Match(f"t{scores.index(best)}", best) if scores and best > floor else None
        assert index.nearest(" ".join(words), floor) == nearest
        if number % 3 or best <= 0.7:
            index.add(f"t{len(kept)}", " ".join(words))
            kept.append(words)


def test_every_pair_of_real_sentences() -> None:
    """As rouge-score scores and decides, for all pairs of the sentences of the seed tasks."""
    seeds = parse_seeds(shipped_seeds().read_bytes(), shipped_seeds())
    texts = [text for seed in seeds for text in (seed.instruction, seed.instances[0].output)]
    sentences = [s for text in texts for s in re.split(r"(?<=[.!?:])\s+", text)]
    sentences = sorted({s for s in sentences if tokens(s, Tokenizer.ROUGE)})[:600]
    assert len(sentences) == 600
    split = [tokens(sentence, Tokenizer.ROUGE) for sentence in sentences]
    index = index_of(*sentences, tokenizer="rouge")
    low = index_of(*sentences, tokenizer="rouge")
    for query, words in zip(sentences[::3], split[::3], strict=True):
        scores = [_score_lcs(other, words).fmeasure for other in split]
        best = max(scores)
        assert low.nearest(query, 0.0) == Match(f"t{scores.index(best)}", best)
        # Half of the query's words: no text is the query itself.
        part = " ".join(words[::2])
        scores = [_score_lcs(other, words[::2]).fmeasure for other in split]
        best = max(scores)
        for floor in (0.3, 0.5, 0.7):
            expected = Match(f"t{scores.index(best)}", best) if best > floor else None
            assert index.nearest(part, floor) == expected


def test_the_batch_forms() -> None:
    index = NoveltyIndex()
    index.add_all([("a", "name a bird"), ("b", "sing a song")])
    assert index.nearest_all(["Name a bird!", "cook rice"]) == [Match("a", 1.0), None]
    assert index.add_if_novel("c", "Sing a song") == Match("b", 1.0)
    assert index.add_if_novel("d", "cook rice") is None
    assert index.add_if_novel("e", "Cook rice!") == Match("d", 1.0)
    assert len(index) == 3


def test_a_text_is_split_once_to_ask_and_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    split: list[str] = []

    def counting(text: str, tokenizer: Tokenizer) -> list[str]:
        split.append(text)
        return tokens(text, tokenizer)

    monkeypatch.setattr("selfinstruct.filters.novelty.index.TOKENS", Versioned(counting))
    index = index_of("name a bird")
    index.nearest("name a bird")
    split.clear()
    index.nearest("sing a song")
    assert index.scorable("sing a song")
    index.add("x", "sing a song")
    index.nearest("sing a song")
    assert split == ["sing a song"]
