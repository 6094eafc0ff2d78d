"""What is read in a judge's replies, and the scores that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from selfinstruct.common.records import (
    Completion,
    Form,
    InstanceCandidate,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.prompts.judging import Scale, load_rubric
from selfinstruct.verdicts.judgements import READ_REPLY, Reply, judgement_of

INSTANCE = InstanceCandidate(
    "r00000-p000-i00-n0", "r00000-p000-i00", 0, "c", 0, 0, 0, 0, "", "blue"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. The sky is blue.", Reply("yes", "The sky is blue.")),
        ("**No** - it is wrong.", Reply("no", "it is wrong.")),
        ('"yes", since it fits', Reply("yes", '", since it fits')),
        ("no", Reply("no", "")),
        ("Nothing is wrong here.", Reply("", "Nothing is wrong here.")),
        ("I think yes.", Reply("", "I think yes.")),
        ("", Reply("", "")),
    ],
)
def test_yes_or_no(text: str, expected: Reply) -> None:
    read = READ_REPLY.at(1)(text, Scale.YES_NO)
    assert read.answer == expected.answer
    if expected.answer == "" or not text.startswith('"'):
        assert read == expected


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("4. Clear and right.", "4"),
        ("Score: 5/5, perfect", "5"),
        ("3", "3"),
        ("4.5", ""),
        ("10", ""),
        ("0", ""),
        ("Very useful, it gets a good mark, a 5", ""),
    ],
)
def test_one_to_five(text: str, answer: str) -> None:
    assert READ_REPLY.at(1)(text, Scale.ONE_TO_FIVE).answer == answer


def replies(texts: Sequence[str], error: str | None = None) -> list[Completion]:
    request = Request("x", "x", Stage.JUDGE, Reading(Form.WHOLE), "p", SamplingConfig())
    return [Completion(request, t, (), None, (), (), "stop", 1, error=error) for t in texts]


def test_scores() -> None:
    paper, useful = load_rubric("paper"), load_rubric("usefulness")
    judged = judgement_of(INSTANCE, 2, replies(["Yes, a.", "Yes.", "No: b."]), paper)
    assert judged is not None
    assert judged.id == "r00000-p000-i00-n0-j00002"
    assert judged.score == pytest.approx(2 / 3)
    assert (judged.answers, judged.reasons) == (("yes", "yes", "no"), ("a.", "", "b."))
    unread = judgement_of(INSTANCE, 0, replies(["Yes.", "Hm.", "No."]), paper)
    assert unread is not None
    assert math.isnan(unread.score)
    four = judgement_of(INSTANCE, 0, replies(["4"]), useful)
    assert four is not None
    assert four.score == 4
    assert judgement_of(INSTANCE, 0, replies(["4"], error="died"), useful) is None
