"""From a run to pairs, on the scripted engine: labellers, resume, formats, refusals."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.records import LocalModel, Request, Stage
from selfinstruct.engines.isolated import Loaded
from selfinstruct.engines.scripted import ScriptedEngine, _word_id
from selfinstruct.filters.similarity import rouge_f
from selfinstruct.inputs.own_folders import HELD_OUT, LABELLED, TRAIN
from selfinstruct.labellers.base import Processes, Scorer
from selfinstruct.labellers.judge import JUDGE
from selfinstruct.labellers.likelihood import LIKELIHOOD, PRINCIPLES
from selfinstruct.labellers.reference import REFERENCE
from selfinstruct.labellers.reward import REWARD, AnsweredConversation
from selfinstruct.preferences.folder import read_scored, read_votes
from selfinstruct.preferences.prefer import PreferSettings, prefer
from selfinstruct.preferences.sample import prompts_of
from selfinstruct.preferences.workplace import Workplace
from selfinstruct.store import Run
from selfinstruct.train.data.preference_rows import read_preferences
from selfinstruct.train.data.ranked import read_ranked
from selfinstruct.train.data.scored import read_scores
from tests.conftest import Generate, draw

POLICY = LocalModel("policy", Path("policy"), "digest", {})
JUDGE_MODEL = LocalModel("judge", Path("judge"), "other", {})
REWARD_MODEL = LocalModel(
    "reward",
    Path("reward"),
    "third",
    {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}},
)
SETTINGS = PreferSettings(held_out=2, k=3)
BY_LIKELIHOOD = Scorer(LIKELIHOOD)


@pytest.fixture
def run(generate: Generate, tmp_path: Path) -> Run:
    return generate(tmp_path / "run", stop__target=14)[0]


def script(request: Request) -> str:
    words = ["calm", "wild", "good", "odd"][: 1 + draw(request, "length", 4)]
    return f" A {' '.join(words)} answer {draw(request, 'which', 50)}."


class Engines:
    """Stands for processes of their own; remembers what was asked."""

    def __init__(self, **options: Any) -> None:
        self.asked: list[tuple[str, ScriptedEngine]] = []
        self.options = options

    def __call__(self, loaded: Loaded, work: Any, advance: Any) -> Any:
        engine = ScriptedEngine(script, **self.options)
        self.asked.append((loaded.model, engine))
        return work(engine, advance=advance)


def workplace(out: Path, apart: Engines | None = None, resume: bool = False) -> Workplace:
    def here(work: Any, advance: Any, name: str) -> Any:
        return work(advance)

    return Workplace(out, Processes(apart or Engines(), here), lambda *_: None, resume)


def make(
    run: Run,
    out: Path,
    apart: Engines | None = None,
    settings: PreferSettings = SETTINGS,
    scorer: Scorer = BY_LIKELIHOOD,
    resume: bool = False,
) -> dict[str, Any]:
    return prefer(run, POLICY, settings, scorer, workplace(out, apart, resume))


def pairs(out: Path) -> list[dict[str, Any]]:
    return [row for name in (TRAIN, HELD_OUT) for row in pq.read_table(out / name).to_pylist()]


def test_pairs_of_the_policys_own_answers(run: Run, tmp_path: Path) -> None:
    apart = Engines()
    report = make(run, tmp_path / "out", apart)
    prompts = {prompt.id: prompt for prompt in prompts_of(run)}
    answers = {one.id: one for one in read_scored(tmp_path / "out")}
    assert len(answers) == 3 * len(prompts)
    rows = pairs(tmp_path / "out")
    assert report["pairs"]["train"] + report["pairs"]["held_out"] == len(rows)
    assert report["pairs"]["held_out"] >= 2
    for row in rows:
        chosen, rejected = answers[row["chosen_id"]], answers[row["rejected_id"]]
        assert chosen.prompt_id == rejected.prompt_id == row["prompt_id"]
        assert row["prompt"] == [{"role": "user", "content": prompts[row["prompt_id"]].user}]
        assert row["chosen"] == [{"role": "assistant", "content": chosen.text}]
        assert row["rejected"] == [{"role": "assistant", "content": rejected.text}]
        assert row["chosen_score"] == chosen.score > rejected.score == row["rejected_score"]
        assert row["margin"] == pytest.approx(chosen.score - rejected.score)
        assert (row["labeller"], row["policy"], row["run"]) == ("likelihood", "policy", "run")
    held = {row["prompt_id"] for row in pq.read_table(tmp_path / "out" / HELD_OUT).to_pylist()}
    train = {row["prompt_id"] for row in pq.read_table(tmp_path / "out" / TRAIN).to_pylist()}
    groups = {key: prompt.group for key, prompt in prompts.items()}
    assert not {groups[key] for key in held} & {groups[key] for key in train}
    # Three pairs of a task, the widest first; of what is held out that one alone.
    counts = Counter(row["prompt_id"] for row in rows)
    assert max(counts[key] for key in train) == 3
    assert {counts[key] for key in held} == {1}
    for key in train | held:
        own = [one.score for one in answers.values() if one.prompt_id == key]
        mine = [row for row in rows if row["prompt_id"] == key]
        assert (mine[0]["chosen_score"], mine[0]["rejected_score"]) == (max(own), min(own))
        assert [row["margin"] for row in mine] == sorted(row["margin"] for row in mine)[::-1]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_the_likelihood_labeller_shows_principles_and_keeps_the_contrast(
    run: Run, tmp_path: Path
) -> None:
    apart = Engines()
    make(run, tmp_path / "out", apart)
    [(name, engine)] = apart.asked
    assert name == "policy"
    written = {r.id: r for r in engine.requests if r.stage is Stage.ANSWER}
    scored = {r.about: r for r in engine.requests if r.stage is Stage.SCORE}
    assert written.keys() == scored.keys()
    assert len({r.seed for r in written.values()}) == len(written)
    for key, request in scored.items():
        assert request.prompt.startswith(f"<user>{PRINCIPLES}\n\n")
        assert request.prompt.count("<user>") == 4  # three good examples, and the task
        assert request.prompt.endswith(written[key].prompt)
        assert request.scored == tuple(engine.encode(script(written[key])))
    # The scripted engine's scores depend on the prompt and the token alone.
    from selfinstruct.engines.scripted import _logprob

    one = read_scored(tmp_path / "out")[0]
    tokens = engine.encode(script(written[one.id]))
    better = [_logprob(token, scored[one.id].prompt) for token in tokens]
    plain = [_logprob(token, written[one.id].prompt) for token in tokens]
    assert one.score == pytest.approx(sum(better) / len(better))
    assert one.contrast == pytest.approx((sum(better) - sum(plain)) / len(better))


def test_a_judge_says_which_is_better(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logprob(token: int, prompt: str) -> float:
        """The longer answer is better, by as many nats as it has words more."""
        if "Answer A:" not in prompt:
            return -1.0
        shown, _, _ = prompt.partition("Which answer is better")
        first, second = (
            len(part.split()) for part in shown.split("Answer A:")[1].split("Answer B:")
        )
        return (-10.0 + first - second) if token == _word_id("A") else -10.0

    monkeypatch.setattr("selfinstruct.engines.scripted._logprob", logprob)
    apart = Engines()
    report = make(run, tmp_path / "out", apart, SETTINGS, Scorer(JUDGE, JUDGE_MODEL))
    assert [name for name, _ in apart.asked] == ["policy", "judge"]
    rows = pairs(tmp_path / "out")
    assert rows
    for row in rows:
        longer = len(row["chosen"][0]["content"].split())
        shorter = len(row["rejected"][0]["content"].split())
        assert row["margin"] == longer - shorter > 0
    assert report["lengths"]["longer_chosen"] == 1.0
    # Answers as long as each other are inconsistent votes: ties, never in a pair.
    ties = [vote for vote in read_votes(tmp_path / "out") if vote.preference == 0.5]
    words = {one.id: one.text for one in read_scored(tmp_path / "out")}
    different = [vote for vote in ties if words[vote.first] != words[vote.second]]
    assert different
    assert report["dropped"]["tie"] >= len(different)


def test_duels_that_go_in_a_circle_make_no_pair_that_contradicts_itself(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logprob(token: int, prompt: str) -> float:
        """As stones, scissors, paper: what is better follows from the last digit, in a circle."""
        if "Answer A:" not in prompt:
            return -1.0
        shown, _, _ = prompt.partition("Which answer is better")
        both = shown.split("Answer A:")[1].split("Answer B:")
        first, second = (int(part.split()[-1].strip(".")) for part in both)
        won = {0: 0.0, 1: 1.0 + first % 5, 2: -1.0 - second % 5}[(first - second) % 3]
        return -10.0 + (won if token == _word_id("A") else 0.0)

    monkeypatch.setattr("selfinstruct.engines.scripted._logprob", logprob)
    settings = PreferSettings(held_out=2, k=4, pairs_per_task=6)
    scorer = Scorer(JUDGE, JUDGE_MODEL)
    make(run, tmp_path / "out", settings=settings, scorer=scorer)
    rows = pairs(tmp_path / "out")
    assert all(row["chosen_score"] > row["rejected_score"] for row in rows)
    # And so what learns from them finds labels and scores of one mind.
    split = read_preferences(tmp_path / "out")
    assert len(split.train) + len(split.held_out) == len(rows)
    assert split.dropped == {}


def test_the_accepted_output_against_the_policys_own(run: Run, tmp_path: Path) -> None:
    settings = PreferSettings(held_out=2, k=2, pairs_per_task=1)
    make(run, tmp_path / "out", settings=settings, scorer=Scorer(REFERENCE))
    prompts = {prompt.id: prompt for prompt in prompts_of(run)}
    answers = read_scored(tmp_path / "out")
    for row in pairs(tmp_path / "out"):
        reference = prompts[row["prompt_id"]].reference
        assert row["chosen"][0]["content"] == reference
        own = [one.text for one in answers if one.prompt_id == row["prompt_id"]]
        assert row["rejected"][0]["content"] in own
        worst = min(rouge_f(reference, text) for text in own)
        assert row["margin"] == pytest.approx(1 - worst)
    kept = pq.read_table(tmp_path / "out" / LABELLED).to_pylist()
    assert len(kept) == 3 * len(prompts)  # all answers, and the accepted outputs


def test_an_empty_answer_does_not_cost_a_task_its_pair(run: Run, tmp_path: Path) -> None:
    def one_empty(request: Request) -> str:
        return " " if request.id.endswith("-a0") else script(request)

    class Half(Engines):
        def __call__(self, loaded: Loaded, work: Any, advance: Any) -> Any:
            return work(ScriptedEngine(one_empty), advance=advance)

    settings = PreferSettings(held_out=2, k=2, pairs_per_task=6)
    scorer = Scorer(REFERENCE)
    report = make(run, tmp_path / "out", Half(), settings, scorer)
    rows = pairs(tmp_path / "out")
    assert report["dropped"]["empty"] == len(prompts_of(run))
    assert len(rows) >= len(prompts_of(run)) - report["dropped"].get("duplicate", 0)
    assert all(row["chosen_id"].endswith("-reference") for row in rows)


def test_a_reward_model_scores_each_answer_in_its_conversation(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[AnsweredConversation] = []

    def score(
        model: LocalModel, answers: Sequence[AnsweredConversation], advance: Any
    ) -> list[float]:
        assert model is REWARD_MODEL
        asked.extend(answers)
        return [float(len(one.answer)) for one in answers]

    monkeypatch.setattr("selfinstruct.labellers.reward.reward_scores", score)
    report = make(run, tmp_path / "out", scorer=Scorer(REWARD, REWARD_MODEL))
    prompts = {prompt.id: prompt for prompt in prompts_of(run)}
    answers = {one.id: one for one in read_scored(tmp_path / "out")}
    shown = [[(turn["role"], turn["content"]) for turn in one.messages] for one in asked]
    assert {(str(turns), one.answer) for turns, one in zip(shown, asked, strict=True)} == {
        (str([("user", prompts[one.prompt_id].user)]), one.text) for one in answers.values()
    }
    for row in pairs(tmp_path / "out"):
        chosen, rejected = (row[name][0]["content"] for name in ("chosen", "rejected"))
        assert row["margin"] == len(chosen) - len(rejected) > 0
    assert report["labeller"] == "reward"


def test_all_answers_are_kept_with_what_the_labeller_says(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(run, out)
    rows = pq.read_table(out / LABELLED).to_pylist()
    assert {row["id"] for row in rows} == {one.id for one in read_scored(out)}
    held = {row["prompt_id"] for row in pq.read_table(out / HELD_OUT).to_pylist()}
    train = {row["prompt_id"] for row in pq.read_table(out / TRAIN).to_pylist()}
    assert {row["held_out"] for row in rows if row["prompt_id"] in held} == {True}
    assert {row["held_out"] for row in rows if row["prompt_id"] in train} == {False}
    used = {row[key] for row in pairs(out) for key in ("chosen_id", "rejected_id")}
    assert used <= {row["id"] for row in rows if row["usable"]}
    # Comparisons of ranked answers never cross the split.
    split = read_ranked(out)
    assert {row.prompt_id for row in split.train}.isdisjoint(
        row.prompt_id for row in split.held_out
    )
    scores = {(row["prompt_id"], row["text"]): row["score"] for row in rows if row["usable"]}
    for row in [*split.train, *split.held_out]:
        assert scores[row.prompt_id, row.chosen] > scores[row.prompt_id, row.rejected]
    # A regression reward learns the scores themselves.
    answers = read_scores(out)
    assert {
        (row.prompt_id, row.answer): row.score for row in (*answers.train, *answers.held_out)
    } == {key: score for key, score in scores.items() if score is not None}
    assert {row.prompt_id for row in answers.held_out} >= held


def test_killed_and_resumed_gives_the_same_pairs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "selfinstruct.preferences.sample.sample_answers.__kwdefaults__", {"batch_size": 4}
    )
    make(run, tmp_path / "whole")
    out = tmp_path / "killed"
    with pytest.raises(EngineError):
        make(run, out, Engines(die_after=40))
    kept = len(read_scored(out))
    assert 0 < kept < 3 * len(prompts_of(run))
    with pytest.raises(ConfigError, match="--resume continues"):
        make(run, out)
    apart = Engines()
    make(run, out, apart, resume=True)
    again = [r for r in apart.asked[0][1].requests if r.stage is Stage.ANSWER]
    assert len(again) == 3 * len(prompts_of(run)) - kept
    for name in (TRAIN, HELD_OUT):
        assert pq.read_table(out / name) == pq.read_table(tmp_path / "whole" / name)
    with pytest.raises(ConfigError, match="holds preferences already"):
        make(run, out, resume=True)


def test_too_few_pairs_are_refused_and_can_be_paired_anew(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"only \d+ of \d+ tasks have a pair .*--resume"):
        make(run, out, settings=PreferSettings(k=3, held_out=60))
    apart = Engines()
    make(run, out, apart, resume=True)
    assert apart.asked[0][1].requests == []
    other = tmp_path / "other"
    with pytest.raises(ConfigError, match="below_margin"):
        make(run, other, settings=PreferSettings(k=3, held_out=2, min_margin=1e9))
    with pytest.raises(ConfigError, match="was made with k 3, not 2"):
        make(run, other, settings=PreferSettings(k=2, held_out=2), resume=True)


def test_what_cannot_be(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--judge: names the model"):
        Scorer(JUDGE)
    with pytest.raises(ConfigError, match="`likelihood` asks no other model"):
        Scorer(LIKELIHOOD, JUDGE_MODEL)
    with pytest.raises(ConfigError, match="is not a reward model"):
        Scorer(REWARD, JUDGE_MODEL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds other files \(notes.txt\)"):
        make(run, tmp_path / "mine")


def test_balanced_lengths(run: Run, tmp_path: Path) -> None:
    settings = PreferSettings(k=4, held_out=2, pairs_per_task=6, balance_lengths=True)
    report = make(run, tmp_path / "out", settings=settings)
    assert report["lengths"]["longer_chosen"] == 0.5
    assert report["lengths_before_balancing"]["pairs"] == (
        report["lengths"]["pairs"] + report["dropped"].get("length_balance", 0)
    )
    assert not math.isnan(report["lengths"]["chosen_words"])
    for name in (TRAIN, HELD_OUT):
        words = [
            [len(row[side][0]["content"].split()) for side in ("chosen", "rejected")]
            for row in pq.read_table(tmp_path / "out" / name).to_pylist()
        ]
        assert sum(a > b for a, b in words) == sum(a < b for a, b in words)
    assert report["lengths"]["pairs"] == len(pairs(tmp_path / "out"))
    assert report["pairs"]["held_out"] >= 2
