"""Rewards: every kind scores as its help says, and every mistake is one message."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError, TrainError
from selfinstruct.common.records import LocalModel, Message
from selfinstruct.evaluate.checks import CHECKS
from selfinstruct.train.data.mixture import Part
from selfinstruct.train.data.prompts import (
    EncodedPrompt,
    RlPrompt,
    compared,
    mix_prompts,
    read_rl_prompts,
)
from selfinstruct.train.rewards.base import Answered
from selfinstruct.train.rewards.kinds import KINDS
from selfinstruct.train.rewards.parse import parse_gold, parse_reward, parse_rewards
from tests.inputs.some_rows import array
from tests.labellers.test_classifier import classifier, logits, softmax
from tests.train.sft_runs import tokenizer_of

TURNS = (Message(role="user", content="Name a river."),)
PROMPT = RlPrompt("p", TURNS, "The Danube.", ("contains", ("danube",)))


def answered(text: str) -> Answered:
    return Answered(PROMPT, text, [5, 6], [7, 8, 9])


def scores(reward: str, *texts: str, network: Any = None) -> list[float]:
    found = parse_reward(reward, "--reward")
    return found.open(lambda: nullcontext(network))([answered(text) for text in texts])


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        ("words", [2.0, 1.0, 0.0]),
        ("reference", [1.0, 0.0, 0.0]),
        ("check", [1.0, 0.0, 0.0]),
        ("contains:danube", [1.0, 0.0, 0.0]),
        (r"regex:^\w+$", [0.0, 1.0, 0.0]),
        (r"regex:^(?:\S+\s+){1,3}\S+\.\s*$", [1.0, 0.0, 0.0]),
        ("exact:Rhine", [0.0, 1.0, 0.0]),
        ("number:4", [0.0, 0.0, 0.0]),
        ("json", [0.0, 0.0, 0.0]),
    ],
)
def test_rewards_of_a_text(reward: str, expected: list[float]) -> None:
    assert scores(reward, "The Danube.", "Rhine", "") == expected
    assert parse_reward(f"{reward}@0.5", "--reward").weight == 0.5
    assert parse_reward(f"{reward}@-2", "--reward").weight == -2


def test_json_with_keys() -> None:
    assert scores("json:name, age", '{"name": 1, "age": 2}', '{"name": 1}') == [1.0, 0.0]


@pytest.mark.parametrize(
    ("expect", "scored"),
    [("decline", [1.0, 0.0, 0.0]), ("answer", [0.0, 1.0, 0.0]), ("care", [0.0, 1.0, 0.0])],
)
def test_a_refusal_is_rewarded_where_it_is_due(expect: str, scored: list[float]) -> None:
    found = parse_reward("expected@2", "--reward")
    prompt = RlPrompt("p", TURNS, expect=expect)
    answers = [
        Answered(prompt, text, [5], [7]) for text in ("I can't help with that.", "Sure.", "")
    ]
    assert found.open(nullcontext)(answers) == scored
    found.check([prompt], "--reward")
    with pytest.raises(ConfigError, match=r"expected@2: 1 of 1 prompts lack a column `expect`"):
        found.check([PROMPT], "--reward")


def test_a_classifier_rewards_by_the_probability_of_its_label(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c", ["calm", "toxic"])
    found = scores(f"scorer:{folder}@toxic@-0.5", "The Danube.", "")
    assert found[0] == pytest.approx(softmax(logits(folder, "The Danube."), 1), abs=1e-5)
    assert math.isnan(found[1])
    reward = parse_reward(f"scorer:{folder}@toxic@-0.5", "--reward")
    assert reward.weight == -0.5
    assert reward.known_by.endswith(" 1")
    with pytest.raises(ConfigError, match="has no label 'mild'; its labels: calm, toxic"):
        parse_reward(f"scorer:{folder}@mild", "--reward")
    with pytest.raises(ConfigError, match="scorer: names no model; give one"):
        parse_reward("scorer", "--reward")


def test_what_is_expected_comes_with_the_prompts() -> None:
    split = read_rl_prompts("harm")
    assert {prompt.expect for prompt in split.train} == {"answer", "care", "decline"}
    assert len(split.train) + len(split.held_out) == 200
    # A training that began before there was such a column compares its prompts without it.
    plain = EncodedPrompt(PROMPT, [1], 8)
    assert "expect" not in compared([plain])[0]["prompt"]
    asked = EncodedPrompt(split.train[0], [1], 8)
    assert compared([asked])[0]["prompt"]["expect"] == "answer"


def test_every_check_is_a_reward() -> None:
    assert {kind.name for kind in CHECKS} < {kind.name for kind in KINDS}


def test_the_likelihood_is_that_of_the_network(model: LocalModel) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model.path)
    [found] = scores("likelihood", "any", network=network)
    with torch.no_grad():
        words = network(torch.tensor([[5, 6, 7, 8, 9]])).logits[0].log_softmax(-1)
    by_hand = sum(float(words[place, token]) for place, token in ((1, 7), (2, 8), (3, 9))) / 3
    assert found == pytest.approx(by_hand, abs=1e-5)


def test_a_reward_model_scores_as_prefer_has_it_score(model: LocalModel, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    from selfinstruct.labellers.reward import AnsweredConversation, reward_scores
    from selfinstruct.prompts.canonical import CHAT_TEMPLATE

    folder = tmp_path / "reward"
    network = AutoModelForSequenceClassification.from_pretrained(model.path, num_labels=1)
    network.config.pad_token_id = 1
    network.save_pretrained(folder)
    tokenizer = tokenizer_of(model)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    found = scores(f"model:{folder}", "The Danube.", "Rhine")
    config = json.loads((folder / "config.json").read_text())
    same = reward_scores(
        LocalModel("reward", folder, "digest", config),
        [AnsweredConversation(TURNS, text) for text in ("The Danube.", "Rhine")],
    )
    assert found == pytest.approx(same, abs=1e-5)
    assert parse_reward(f"model:{folder}", "--reward").known_by


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


FUNCTIONS = """
def plain(completions):
    return [len(text) for text in completions]

def everything(prompts, completions, completion_ids, references, **more):
    return [f"{a}{b}{c}{d}" == "Name a river.Rhine[7, 8, 9]The Danube."
            for a, b, c, d in zip(prompts, completions, completion_ids, references)]

def unsure(completions):
    return [None for _ in completions]

def breaks(completions):
    return 1 / 0

def few(completions):
    return []

def words_of(completions):
    return ["many" for _ in completions]

def other(answers):
    return answers

def nothing():
    return []

async def later(completions):
    return []

number = 3
"""


def test_functions(here: Path) -> None:
    (here / "my_rewards.py").write_text(FUNCTIONS)
    assert scores("my_rewards:plain", "ab", "") == [2.0, 0.0]
    assert scores("my_rewards:everything", "Rhine", "Po") == [1.0, 0.0]
    assert math.isnan(scores("my_rewards:unsure", "ab")[0])
    for name, message in (
        ("breaks", "raised ZeroDivisionError: division by zero"),
        ("few", "returned 0 numbers for 1 answers"),
        ("words_of", "raised ValueError"),
    ):
        with pytest.raises(TrainError, match=message):
            scores(f"my_rewards:{name}", "ab")


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("lenght", "there is no such reward; give one of model:MODEL, likelihood"),
        ("word", "did you mean 'words'?"),
        ("", "there is no such reward"),
        ("words@0", "the weight is 0"),
        ("words:3", "--reward words:3: takes no value; leave '3' out"),
        ("likelihood:3", "takes no value"),
        ("regex:(", r"missing \)"),
        ("number:many", "give a number"),
        ("contains:", "give a text"),
        ("model:", "names no model"),
        ("model:nowhere/at-all", "nowhere"),
        ("no_such_module_at_all:score", "cannot be imported"),
        ("math:no_such_function", "cannot be imported .AttributeError"),
        ("my_rewards:other", "takes answers; a reward function takes some of prompts, completions"),
        ("my_rewards:nothing", "takes nothing; a reward function takes"),
        ("my_rewards:later", "is no plain function"),
        ("my_rewards:number", "is no plain function"),
    ],
)
def test_what_is_no_reward(here: Path, reward: str, message: str) -> None:
    (here / "my_rewards.py").write_text(FUNCTIONS)
    with pytest.raises(ConfigError, match=message):
        parse_reward(reward, "--reward")


def test_a_model_that_is_no_reward_model(model: LocalModel) -> None:
    with pytest.raises(ConfigError, match="is not a reward model"):
        parse_reward(f"model:{model.path}", "--reward")


def test_several_rewards_and_gold() -> None:
    rewards = parse_rewards(["words@-0.1", "reference"])
    assert [(reward.text, reward.weight) for reward in rewards] == [
        ("words@-0.1", -0.1),
        ("reference", 1.0),
    ]
    with pytest.raises(ConfigError, match="words: is given twice"):
        parse_rewards(["words", "words"])
    with pytest.raises(ConfigError, match="--reward: is missing"):
        parse_rewards([])
    assert parse_gold(None, rewards) is None
    gold = parse_gold("check", rewards)
    assert gold is not None
    assert gold.text == "check"
    with pytest.raises(ConfigError, match="is alone, and has no weight"):
        parse_gold("check@2", rewards)
    with pytest.raises(ConfigError, match="--gold words: is what is rewarded"):
        parse_gold("words", parse_rewards(["words@2"]))


ROWS = [
    {"id": f"t{n}", "instruction": f"Name {n}.", "output": f"{n}", "check": {"number": n}}
    for n in range(10)
]


def test_prompts_of_a_file(tmp_path: Path) -> None:
    split = read_rl_prompts(array(tmp_path / "rows.json", [*ROWS, ROWS[0]]), held_out=0.2)
    assert [prompt.id for prompt in split.train] == [f"t{n}" for n in range(8)]
    assert [prompt.text for prompt in split.held_out] == ["Name 8.", "Name 9."]
    assert (split.train[3].reference, split.train[3].check) == ("3", ("number", ("3",)))
    assert split.dropped == {"same_prompt": 1}
    pairs = [{"prompt": f"{n}?", "chosen": "yes", "rejected": "no"} for n in range(4)]
    other = read_rl_prompts(array(tmp_path / "pairs.json", pairs), held_out=0.0)
    assert [(prompt.text, prompt.reference) for prompt in other.train] == [
        (f"{n}?", "") for n in range(4)
    ]
    mixed = mix_prompts([(Part("rows", 2.0), split), (Part("pairs"), other)], seed=0)
    assert len(mixed.train) == 20
    assert [(part.rows, part.learnt, part.held_out) for part in mixed.sources] == [
        (8, 16, 2),
        (4, 4, 0),
    ]


def test_a_row_with_a_wrong_check_is_named(tmp_path: Path) -> None:
    file = array(tmp_path / "rows.json", [{**ROWS[0], "check": {"number": "many"}}])
    with pytest.raises(ConfigError, match='"check" has "number"'):
        read_rl_prompts(file)


def test_prompts_of_a_run_stay_together_by_instruction(tmp_path: Path, generate: Any) -> None:
    run, _ = generate(tmp_path / "run", stop__target=12)
    del run
    split = read_rl_prompts(tmp_path / "run", held_out=0.25)
    assert split.train
    assert split.held_out
    assert all(prompt.reference for prompt in [*split.train, *split.held_out])
    groups = [
        {prompt.id.partition("-n")[0] for prompt in part} for part in (split.train, split.held_out)
    ]
    assert not groups[0] & groups[1]
