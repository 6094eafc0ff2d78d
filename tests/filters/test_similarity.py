"""ROUGE-L of answers: rouge-score's where its tokens lose nothing, Unicode words elsewhere."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from selfinstruct.filters.similarity import SAME_TEXT, normalised, rouge_f

ORACLE = RougeScorer(["rougeL"], use_stemmer=True)
ENGLISH = st.lists(
    st.sampled_from(["Running", "runs", "the", "cat's", "7", "“so”", "…", "it_is", "a-b"]),
    max_size=12,
).map(" ".join)


@given(ENGLISH | st.text(st.characters(max_codepoint=127)), ENGLISH)
def test_english_answers_have_the_score_of_rouge_score(reference: str, text: str) -> None:
    assert rouge_f(reference, text) == ORACLE.score(reference, text)["rougeL"].fmeasure


@pytest.mark.parametrize(
    ("reference", "text", "score"),
    [
        ("Москва — столица России.", "Москва — столица России.", 1.0),
        ("北京是中国的首都。", "北京是中国的首都", 1.0),
        ("北京是中国的首都。", "上海是中国的城市。", 2 * 4 / 16),
        ("Tôi yêu bố.", "Tôi yêu bò.", 2 / 3),
        ("Die Straße ist naß.", unicodedata.normalize("NFD", "die strasse ist nass"), 1.0),
        ("The café was running.", "The café runs.", 3 * 2 / 7),  # English words are stemmed
        ("The cafe was running.", "The café runs.", 2 * 2 / 7),
    ],
)
def test_other_languages(reference: str, text: str, score: float) -> None:
    assert rouge_f(reference, text) == pytest.approx(score)


def test_one_answer_in_two_forms_of_unicode() -> None:
    forms = [unicodedata.normalize(form, "Việt Nam.") for form in ("NFC", "NFD")]
    assert normalised(forms[0]) == normalised(forms[1])
    assert normalised("北京。") == normalised("北京")
    assert [len({SAME_TEXT.at(version)(form) for form in forms}) for version in (2, 3)] == [2, 1]
