"""Reward models on a tiny network: what is learnt, weights, reports, scores."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel, Message
from selfinstruct.labellers.reward import AnsweredConversation, reward_scores
from selfinstruct.train.checkpoints import CHECKPOINTS, last_checkpoint
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.reward import REWARD, RewardData, RewardResult, RewardSettings
from selfinstruct.train.recipes.reward_report import (
    Check,
    ScoredPair,
    check_report,
    read_checks,
    reward_report,
    shipped_checks,
)
from selfinstruct.train.runner import train as run_recipe
from selfinstruct.train.watching import TrainProgress
from tests.train.dpo_runs import COLOURS, preference
from tests.train.tiny import tiny_model


def row(number: int, *, weight: float = 1.0, flipped: bool = False) -> PreferenceRow:
    answers = (f"It is {COLOURS[number % 4]}.", "?" * (1 + number % 20))
    return preference(number, *answers, weight=weight, flipped=flipped)


ROWS = [row(number) for number in range(64)]
SPLIT = PreferenceSplit(ROWS[:32], ROWS[32:])
QUICK: dict[str, Any] = {
    "num_train_epochs": 2,
    "learning_rate": 5e-3,
    "bf16": False,
    "per_device_train_batch_size": 8,
}
CHECKS = [
    Check("plain", row(100)),
    Check("length", row(101)),
    Check("length", row(1, flipped=True)),
]


def train(
    model: LocalModel,
    out: Path,
    split: PreferenceSplit = SPLIT,
    listen: Any = lambda event: None,
    **settings: Any,
) -> RewardResult:
    resume, checks = settings.pop("resume", False), settings.pop("checks", ())
    options = {**QUICK, **settings.pop("options", {})}
    how = RewardSettings(**{"max_length": 256, **settings}, options=options)
    return run_recipe(REWARD, Job(RewardData(split, checks), model, out, how, resume), listen)


def trained(path: Path) -> LocalModel:
    return LocalModel("reward", path, "digest", json.loads((path / "config.json").read_text()))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RewardResult]:
    """An uninterrupted training, and what it wrote."""
    folder = tmp_path_factory.mktemp("reward")
    out = folder / "out"
    return out, train(tiny_model(folder / "tiny"), out, checks=CHECKS)


def test_what_is_better_gets_a_higher_reward(whole: tuple[Path, RewardResult]) -> None:
    out, result = whole
    assert (result.train_pairs, result.held_out_pairs, result.held_out.pairs) == (32, 32, 32)
    assert result.held_out.accuracy.low > 0.5
    # A check that says the opposite of what was learnt is missed, and named.
    assert result.checks is not None
    assert [one.id for one in result.checks.missed] == ["r1"]
    assert result.checks.missed[0].prompt == "Name colour 1."
    assert result.checks.traps["length"].mean == 0.5
    told = json.loads((out / "training.json").read_text())
    assert told["objective"] == "reward"
    # What was saved gives the scores that were reported.
    answers = [
        AnsweredConversation(one.messages, text)
        for one in ROWS[32:]
        for text in (one.chosen, one.rejected)
    ]
    scores = reward_scores(trained(out), answers)
    margins = [good - bad for good, bad in zip(scores[::2], scores[1::2], strict=True)]
    assert result.held_out.margin == pytest.approx(sum(margins) / len(margins), abs=1e-4)


def test_a_score_does_not_depend_on_what_it_is_padded_with(
    whole: tuple[Path, RewardResult],
) -> None:
    reward = trained(whole[0])
    asked = (Message(role="user", content="Name it."),)
    answers = [AnsweredConversation(asked, "a" * length) for length in (1, 40, 7)]
    together = reward_scores(reward, answers)
    alone = [reward_scores(reward, [one])[0] for one in answers]
    assert together == pytest.approx(alone, abs=1e-5)
    [long] = reward_scores(reward, [AnsweredConversation(asked, "a" * 600)])
    assert math.isnan(long)


def test_the_loss_weighs_its_pairs(model: LocalModel, tmp_path: Path) -> None:
    """One batch against Bradley and Terry's likelihood, by hand in float64."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig

    from selfinstruct.labellers.reward import token_scores
    from selfinstruct.train.data.encode import prepare_tokenizer
    from selfinstruct.train.data.encode_pairs import encode_pairs
    from selfinstruct.train.recipes.reward import _dataset
    from selfinstruct.train.recipes.reward_trainer import Collator, Trainer
    from selfinstruct.train.reporter import Reporter

    tokenizer = AutoTokenizer.from_pretrained(model.path)
    prepare_tokenizer(tokenizer)
    rows = [row(n, weight=(1.0, 1 / 3)[n % 2]) for n in range(6)]
    pairs = encode_pairs(rows, tokenizer, max_length=256, dropped=Counter())
    torch.manual_seed(0)
    network = AutoModelForSequenceClassification.from_pretrained(
        model.path, num_labels=1, dtype=torch.float32
    )
    trainer = Trainer(
        model=network,
        args=RewardConfig(
            output_dir=str(tmp_path / "out"),
            max_length=None,
            bf16=False,
            use_cpu=True,
            report_to="none",
            center_rewards_coefficient=0.01,
        ),
        data_collator=Collator(pad_token_id=tokenizer.pad_token_id),
        train_dataset=_dataset(pairs),
        processing_class=tokenizer,
        reporter=Reporter(lambda event: None, tmp_path / "out"),
    )
    network.eval()
    batch = trainer._prepare_inputs(
        trainer.data_collator([trainer.train_dataset[n] for n in range(6)])
    )
    with torch.no_grad():
        loss = float(trainer.compute_loss(network, batch))
    ids = [one.prompt_ids + part for one in pairs for part in (one.chosen_ids, one.rejected_ids)]
    scores = token_scores(network.double(), ids)
    weights = [one.weight / (sum(p.weight for p in pairs) / 6) for one in pairs]
    duels = list(zip(scores[::2], scores[1::2], weights, strict=True))
    by_hand = sum(weight * math.log1p(math.exp(bad - good)) for good, bad, weight in duels) / 6
    by_hand += 0.01 * sum((good + bad) ** 2 for good, bad, _ in duels) / 6
    assert loss == pytest.approx(by_hand, abs=1e-5)


def test_the_fit_of_one_pair_is_its_log_odds(model: LocalModel, tmp_path: Path) -> None:
    """Bradley and Terry's closed form: seen n times one way and m the other, log(n / m)."""
    rows = [replace(row(0), id=f"r{n}") for n in range(6)]
    rows += [replace(row(0, flipped=True), id=f"f{n}") for n in range(2)]
    options = {
        "num_train_epochs": 80,
        "learning_rate": 2e-2,
        "lr_scheduler_type": "linear",
        "center_rewards_coefficient": 0.0,
        "save_strategy": "no",
    }
    out = tmp_path / "out"
    train(model, out, PreferenceSplit(rows, []), options=options)
    better, worse = reward_scores(
        trained(out),
        [AnsweredConversation(row(0).messages, text) for text in (row(0).chosen, row(0).rejected)],
    )
    assert better - worse == pytest.approx(math.log(6 / 2), abs=0.05)


def test_killed_and_resumed_ends_as_if_it_had_not_been(
    whole: tuple[Path, RewardResult], model: LocalModel, tmp_path: Path
) -> None:
    _, result = whole

    def stop(event: TrainProgress) -> None:
        if event.step == 6:
            raise KeyboardInterrupt

    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop)
    assert last_checkpoint(out / CHECKPOINTS) is not None
    again = train(model, out, resume=True)
    assert again.losses[-1][1] == pytest.approx(result.losses[-1][1], abs=1e-4)
    assert again.held_out.margin == pytest.approx(result.held_out.margin, abs=1e-3)


def test_the_report_by_hand() -> None:
    pairs = [
        ScoredPair(2.0, 0.0, 10, 5),  # right; the longer is better
        ScoredPair(1.0, 3.0, 9, 4),  # wrong; the longer is better
        ScoredPair(0.5, 0.0, 3, 8),  # right; the longer is worse
        ScoredPair(1.0, 1.0, 5, 5),  # as good as each other
        ScoredPair(math.nan, 1.0, 5, 5),  # left out
    ]
    found = reward_report(pairs)
    assert (found.pairs, found.accuracy.mean) == (4, 2.5 / 4)
    assert (found.longer_is_better.mean, found.longer_is_better_pairs) == (0.5, 2)
    assert (found.longer_is_worse.mean, found.longer_is_worse_pairs) == (1.0, 1)
    assert found.margin == pytest.approx((2 - 2 + 0.5 + 0) / 4)
    # Of the two of which it is 88 % sure it is right about one; of that with 62 % it is right;
    # of that with 50 % the half counts.
    assert [one.pairs for one in found.calibration] == [1, 1, 2]
    predicted = [1 / (1 + math.exp(-d)) for d in (0.0, 0.5, 2.0)]
    assert [one.predicted for one in found.calibration] == pytest.approx(predicted)
    observed = [one.observed.mean for one in found.calibration]
    assert observed == [0.5, 1.0, 0.5]
    error = (abs(predicted[1] - 1.0) + 2 * abs(predicted[2] - 0.5)) / 4
    assert found.calibration_error == pytest.approx(error)


def test_the_shipped_checks() -> None:
    checks = read_checks(shipped_checks())
    assert len(checks) == 100
    traps = Counter(check.trap for check in checks)
    assert traps == {"length": 25, "politeness": 25, "confident_nonsense": 25, "plain": 25}
    texts = {check.row.messages[-1]["content"] for check in checks}
    assert len(texts) == 100
    assert all(check.row.chosen.split() != check.row.rejected.split() for check in checks)
    # Who always takes the longer answer, or the shorter, gets about half of them.
    longer = sum(len(one.row.chosen.split()) > len(one.row.rejected.split()) for one in checks)
    assert 40 <= longer <= 60


def test_all_wrong_is_all_named() -> None:
    found = check_report(CHECKS, [0.0, 1.0, 1.0], [3.0, 1.0, 2.0])
    assert [one.margin for one in found.missed] == [3.0, 1.0, 0.0]
    assert (found.checks, found.left_out) == (3, 0)
    assert found.accuracy.mean == pytest.approx(0.5 / 3)  # a tie is half right, and missed


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no check"),
        (['{"id": "a", "prompt": "x", "chosen": "y"}'], '"rejected" is missing'),
        (
            ['{"id": "a", "prompt": "x", "chosen": "y", "rejected": "z"}'] * 2,
            "c.jsonl:2: id 'a' is that of another row too",
        ),
    ],
)
def test_checks_that_cannot_be_read(tmp_path: Path, lines: list[str], message: str) -> None:
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=message):
        read_checks(tmp_path / "c.jsonl")


def test_a_policy_is_no_reward_model(model: LocalModel) -> None:
    with pytest.raises(ConfigError, match=r"is not a reward model \(LlamaForCausalLM, 2 labels\)"):
        reward_scores(model, [])
