"""Reward models from scores on a tiny network: forms of data, the loss, the report, mistakes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel, Message
from selfinstruct.labellers.reward import AnsweredConversation, reward_scores
from selfinstruct.train.data.mixture import Part
from selfinstruct.train.data.scored import (
    EncodedScore,
    ScoredRow,
    ScoredSplit,
    mix_scored,
    read_scores,
)
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.regression import (
    REGRESSION,
    RegressionData,
    RegressionResult,
    regression_report,
    scale_of,
)
from selfinstruct.train.recipes.reward import RewardSettings
from selfinstruct.train.runner import train as run_recipe
from tests.train.tiny import tiny_model


def row(number: int) -> ScoredRow:
    """An answer whose score, from 1 to 7, is by how many question marks it has."""
    marks = number % 4
    turns = (Message(role="user", content=f"Name colour {number // 2}."),)
    return ScoredRow(f"{number}", f"p{number // 2}", turns, "?" * marks + "!", 7.0 - 2 * marks)


ROWS = [row(number) for number in range(96)]
SPLIT = ScoredSplit(ROWS[:64], ROWS[64:], name="marks")
QUICK: dict[str, Any] = {"num_train_epochs": 4, "learning_rate": 5e-3, "bf16": False}


def train(model: LocalModel, out: Path, split: ScoredSplit = SPLIT, **how: Any) -> RegressionResult:
    settings = RewardSettings(max_length=256, options={**QUICK, **how})
    return run_recipe(REGRESSION, Job(RegressionData(split), model, out, settings), lambda _: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RegressionResult]:
    folder = tmp_path_factory.mktemp("regression")
    out = folder / "out"
    return out, train(tiny_model(folder / "tiny"), out)


def test_scores_are_learnt(whole: tuple[Path, RegressionResult]) -> None:
    out, result = whole
    # 1, 3, 5 and 7, as often each.
    assert (result.score_mean, result.score_deviation) == pytest.approx((4.0, math.sqrt(5)))
    held = result.held_out
    assert (result.train_answers, result.held_out_answers, held.answers) == (64, 32, 32)
    assert held.correlation > 0.8
    assert held.explained > 0.5
    assert held.accuracy.low > 0.5
    assert held.pairs == 16
    told = json.loads((out / "training.json").read_text())
    assert (told["objective"], told["loss"]) == ("reward", "regression")
    # The saved model is a reward model as the other commands take it, with the error reported.
    saved = LocalModel("reward", out, "digest", json.loads((out / "config.json").read_text()))
    rewards = reward_scores(saved, [AnsweredConversation(r.messages, r.answer) for r in ROWS[64:]])
    errors = [
        (reward - (one.score - 4) / math.sqrt(5)) ** 2
        for reward, one in zip(rewards, ROWS[64:], strict=True)
    ]
    assert held.error == pytest.approx(sum(errors) / len(errors), abs=1e-3)
    assert f"{4.0:.4g} + 2.236 · reward" in result_card(out, result)


def result_card(out: Path, result: RegressionResult) -> str:
    from selfinstruct.train.recipe import Source

    card = REGRESSION.card(Source(out), RewardSettings(), result)
    return str(card.data["a score is"])


def test_the_loss_is_the_squared_error_by_hand(model: LocalModel, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from selfinstruct.labellers.reward import token_scores
    from selfinstruct.train.recipes.regression import _dataset
    from selfinstruct.train.recipes.regression_trainer import Collator, Trainer
    from selfinstruct.train.recipes.reward import REWARD
    from selfinstruct.train.reporter import Reporter

    tokenizer = AutoTokenizer.from_pretrained(model.path)
    tokenizer.pad_token = tokenizer.eos_token
    texts = ["a?", "bb!", "a longer one."]
    rows = [
        EncodedScore(f"{n}", f"{n}", tokenizer.encode(text), float(n))
        for n, text in enumerate(texts)
    ]
    torch.manual_seed(0)
    network = AutoModelForSequenceClassification.from_pretrained(
        model.path, num_labels=1, dtype=torch.float32
    )
    network.config.pad_token_id = tokenizer.pad_token_id
    config_class, _ = REWARD.classes()
    collator = Collator(pad_token_id=tokenizer.pad_token_id, scale=scale_of(rows))
    trainer = Trainer(
        model=network,
        args=config_class(
            output_dir=str(tmp_path / "out"),
            max_length=None,
            bf16=False,
            use_cpu=True,
            report_to="none",
        ),
        data_collator=collator,
        train_dataset=_dataset(rows),
        processing_class=tokenizer,
        reporter=Reporter(lambda _: None, tmp_path),
    )
    batch = collator([trainer.train_dataset[n] for n in range(3)])
    network.eval()
    loss = float(trainer.compute_loss(network, batch))
    rewards = token_scores(network, [one.ids for one in rows])
    # 0, 1 and 2 have the mean 1 and the variance 2/3.
    aims = [-math.sqrt(1.5), 0.0, math.sqrt(1.5)]
    expected = sum((r - z) ** 2 for r, z in zip(rewards, aims, strict=True)) / 3
    assert loss == pytest.approx(expected, rel=1e-5)


def test_the_report_by_hand() -> None:
    """Scores 2, 4, 6 (standardised by mean 4 and deviation 2: −1, 0, 1), one prompt of two."""
    rows = [
        EncodedScore("0", "p", [1], 2.0),
        EncodedScore("1", "p", [1], 4.0),
        EncodedScore("2", "q", [1], 6.0),
        EncodedScore("3", "q", [1], 6.0),
        EncodedScore("4", "q", [1], 4.0),
    ]
    report = regression_report(rows, [-0.5, -1.0, 1.0, math.nan, 1.0], (4.0, 2.0))
    assert report.answers == 4
    # (0.25 + 1 + 0 + 1) / 4, of a variance of 0.5 (−1, 0, 1, 0).
    assert report.error == pytest.approx(0.5625)
    assert report.explained == pytest.approx(1 - 0.5625 / 0.5)
    # In p the order is wrong, and in q a tie.
    assert (report.pairs, report.accuracy.mean) == (2, 0.25)
    none = regression_report([], [], (0.0, 1.0))
    assert math.isnan(none.error)
    assert math.isnan(none.correlation)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def test_scores_of_every_form_are_read(tmp_path: Path) -> None:
    answers = written(
        tmp_path / "answers.jsonl",
        [
            {"prompt": "Name a colour.", "completion": "Red.", "score": 4},
            {"prompt": "Name a colour.", "completion": "Red.", "score": 3},
            {"prompt": "Name a river.", "completion": "The Danube.", "rating": "2.5"},
        ],
    )
    split = read_scores(answers, held_out=0.0)
    assert [(one.answer, one.score) for one in split.train] == [("Red.", 4.0), ("The Danube.", 2.5)]
    assert split.dropped == {"same_answer": 1}
    pairs = written(
        tmp_path / "pairs.jsonl",
        [
            {
                "prompt": "Name a colour.",
                "chosen": "Red.",
                "rejected": "No.",
                "chosen_score": 8,
                "rejected_score": 1,
            }
        ],
    )
    split = read_scores(pairs, held_out=0.0)
    assert [(one.answer, one.score) for one in split.train] == [("Red.", 8.0), ("No.", 1.0)]
    several = written(
        tmp_path / "several.jsonl",
        [
            {
                "prompt": "Name a colour.",
                "responses": ["No.", "Red.", "Reddish."],
                "scores": [1, 9, 5],
            }
        ],
    )
    split = read_scores(several, held_out=0.0)
    assert [(one.answer, one.score) for one in split.train] == [
        ("Red.", 9.0),
        ("Reddish.", 5.0),
        ("No.", 1.0),
    ]


def test_data_is_mixed_by_weight() -> None:
    parts = [(Part("a", 2.0), SPLIT), (Part("b"), ScoredSplit(ROWS[:8], [], name="b"))]
    mixed = mix_scored(parts, 0)
    assert len(mixed.train) == 2 * 64 + 8
    assert [source.learnt for source in mixed.sources] == [128, 8]


def test_one_score_for_all_teaches_nothing(model: LocalModel, tmp_path: Path) -> None:
    same = [ScoredRow(f"{n}", f"{n}", ROWS[n].messages, f"{n}.", 5.0) for n in range(20)]
    with pytest.raises(ConfigError, match="all 20 answers have the score 5, which teaches nothing"):
        train(model, tmp_path / "out", ScoredSplit(same, [], name="same"))
    with pytest.raises(ConfigError, match="3 scored answers to train on are too few"):
        train(model, tmp_path / "out", ScoredSplit(ROWS[:3], [], name="few"))
    with pytest.raises(ConfigError, match="center_rewards_coefficient: set by selfinstruct"):
        train(model, tmp_path / "out", center_rewards_coefficient=0.1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        (
            [{"prompt": f"Name {n}.", "completion": "Red."} for n in range(20)],
            [],
            'rows.jsonl:1: "score" is missing; give a number for the answer',
        ),
        (
            [{"prompt": f"Name {n}.", "chosen": "Red.", "rejected": "No."} for n in range(20)],
            [],
            '"chosen_score" and "rejected_score" are missing',
        ),
        (
            [{"prompt": f"Name {n}.", "ranked": ["Red.", "No."]} for n in range(20)],
            [],
            '"scores" is missing; give a number for each answer',
        ),
        (
            [{"prompt": "Name it.", "ranked": ["Red.", "No."], "scores": [2, "high"]}],
            [],
            '"scores" is missing; give a number for each answer',
        ),
        (
            [{"prompt": "Name it.", "completion": "Red.", "score": None}],
            [],
            '"score" is missing; give a number for the answer',
        ),
        (
            [{"prompt": "Name it.", "completion": "Red.", "label": True}],
            [],
            "a label is no score; `train kto` learns from labels",
        ),
        ([{"prompt": "Name it.", "completion": "Red.", "score": 1}], ["--ranked"], "--ranked: "),
    ],
)
def test_mistakes_are_said_before_a_model_is_loaded(
    rows: list[dict[str, Any]],
    more: list[str],
    message: str,
    model: LocalModel,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data, out = written(tmp_path / "rows.jsonl", rows), tmp_path / "out"
    words = ["train", "reward", "--loss", "regression", "--data", str(data)]
    assert cli([*words, "--model", str(model.path), "--out", str(out), *more]) == 2
    assert message in " ".join(capfd.readouterr().err.split())
    assert not out.exists()


def test_the_command(model: LocalModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prompt": one.messages[0]["content"], "completion": one.answer, "score": one.score}
        for one in ROWS
    ]
    data, out = written(tmp_path / "rows.jsonl", rows), tmp_path / "out"
    words = ["train", "reward", "--loss", "regression", "--data", f"{data}@2", "--check", "none"]
    words += ["--model", str(model.path), "--out", str(out), "--max-length", "256"]
    words += ["--epochs", "1", "--set", "bf16=false"]
    assert cli(words) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "score = 4 + 2.236 * reward" in said
    assert "20 held-out answers: correlation" in said
    assert "weight 2" in (out / "README.md").read_text()
