"""The golden runs: what each covers, which model writes it, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.golden.script import OddVoice, RevisingVoice, TalkingVoice, ThirdVoice, Voice

HERE = Path(__file__).parent
RUNS, EXPECTED = Path("runs"), Path("expected")
HALF, EXPECTED_HALF = Path("half"), EXPECTED / "half"
MODEL, TEACHER = "model", "teacher"

# Rules that hold in every run made here, unless its own settings say otherwise.
SETTINGS: Mapping[str, Any] = {
    "model.name": MODEL,
    "model.prompting": "base",
    "seeds": "inputs/seeds.jsonl",
    "propose.per_round": 3,
    "stop.target": 5,
    "stop.max_rounds": 2,
    "stop.min_yield": 0.0,
}


@dataclass(frozen=True)
class Golden:
    """One run.

    voice: what its model writes. can: what its engine can do (`adapter.ENGINES`). thinks:
        whether its model thinks before it answers. settings: dotted, over `SETTINGS`; None
        where it was made from other runs, or by older code. modes: prompting by stage, where
        it is mixed.
    asks: what else than two more rounds is recorded: `complete`, `answer`.
    """

    covers: str
    voice: Voice
    can: str = "all"
    thinks: bool = False
    settings: Mapping[str, Any] | None = field(default_factory=dict)
    modes: Mapping[str, str] | None = None
    asks: tuple[str, ...] = ()


_BASE = Voice("base")
_STRICT = Voice("strict")
_MIXED = {"propose": "base", "classify": "base", "instances": "chat"}
_NO_SCRIPT = {"rules.script": None, "rules.min_words": None, "seeds": "inputs/chinese.txt"}
_OLD = Voice("old")
_THIRD = ThirdVoice("third")

GOLDEN: Mapping[str, Golden] = {
    "base": Golden(
        "raw text; labels, over_target, the guard of the seeds",
        _BASE,
        settings={"stop.target": 6},
        asks=("answer",),
    ),
    "chat": Golden(
        "chat template, system prompt, thinking; direct answers of tasks without an input",
        Voice("chat", lists="chat", answers="direct"),
        thinks=True,
        settings={
            "model.prompting": "chat",
            "model.system": "You are a calm teacher.",
            "model.thinking": True,
            "stop.target": 9,
        },
        asks=("answer",),
    ),
    "chat_listed": Golden(
        "chat template without direct answers; domain, topics, system prompt of direct answers",
        Voice("chat_listed", lists="chat", answers="chat"),
        settings={
            "model.prompting": "chat",
            "instances.direct": False,
            "propose.domain": "veterinary practice",
            "topics": "inputs/topics.txt",
        },
    ),
    "mixed": Golden(
        "raw text to propose and classify, the chat template for instances",
        Voice("mixed", answers="direct"),
        settings={
            "model.prompting": "auto",
            "instances.direct_system": "Answer in at most three sentences.",
            "instances.sampling.repetition_penalty": 1.1,
            "stop.target": 9,
        },
        modes=_MIXED,
    ),
    "answered": Golden(
        "conditional gain; thresholds from a quantile of few candidates, and a highest one; "
        "answers of a teacher, by chat and by raw text",
        Voice("gain"),
        settings={
            "likelihood.gain": True,
            "likelihood.calibration": 4,
            "likelihood.quantile": 0.25,
            "likelihood.max_logprob": -1.1,
            "stop.target": 9,
            "stop.max_rounds": 3,
        },
        asks=("answer",),
    ),
    "scores_later": Golden(
        "an engine that writes without log-probabilities and scores afterwards; gain",
        Voice("scores_later"),
        can="scores_later",
        settings={"likelihood.gain": True, "likelihood.min_logprob": -2.0},
    ),
    "no_scores": Golden(
        "an engine without log-probabilities, scoring or seeds", Voice("no_scores"), can="no_scores"
    ),
    "steered": Golden(
        "raw text with domain (a tag before each item), topics and texts to avoid",
        Voice("steered", tag="Veterinary practice:"),
        settings={
            "propose.domain": "veterinary practice",
            "topics": "inputs/topics.txt",
            "avoid": "inputs/avoid.jsonl",
            "overlap": False,
        },
    ),
    "own_prompts": Golden(
        "templates, markers and class word of a user's own",
        Voice("own_prompts", input="Given -", output="Made -", label="Kind -", yes="sort"),
        settings={"prompts": "inputs/prompts"},
        asks=("answer",),
    ),
    "unicode": Golden(
        "Unicode words for Chinese tasks; plain seeds",
        Voice("unicode", first=5, chinese=True),
        settings={
            **_NO_SCRIPT,
            "novelty.tokenizer": "unicode",
            "novelty.threshold": 0.5,
            "propose.in_context": 4,
            "propose.from_seeds": 3,
            "propose.list_length": 9,
        },
    ),
    "wordless": Golden(
        "the paper's tokens for Chinese tasks: unscorable ones; rules of instances switched off",
        Voice("wordless", first=5, chinese=True),
        settings={
            **_NO_SCRIPT,
            "novelty.tokenizer": "rouge",
            "propose.in_context": 4,
            "propose.from_seeds": 4,
            "propose.list_length": 9,
            "instances.refusal": False,
            "instances.max_repetition": None,
            "instances.max_per_instruction": 1,
            "rules.refusal": False,
        },
    ),
    "strict": Golden(
        "a low threshold of novelty, sampling and stop strings of a user's own",
        _STRICT,
        settings={
            "stop.target": 12,
            "propose.per_round": 4,
            "novelty.threshold": 0.2,
            "propose.sampling.stop": ["\n\n\n"],
            "propose.sampling.temperature": 0.9,
            "instances.exemplars": 2,
            "classify.exemplars": 4,
            "seed": 11,
        },
    ),
    "what_if": Golden(
        "`strict`, judged again by a looser threshold: instructions wait for their instances",
        _STRICT,
        settings=None,
        asks=("complete",),
    ),
    "completed": Golden(
        "`what_if`, completed in two batches: supplements", _STRICT, settings=None, asks=("answer",)
    ),
    "decided": Golden(
        "`base` with a person's decisions (restored, dropped, edited, typed, undone) and ratings",
        _BASE,
        settings=None,
        asks=("complete", "answer"),
    ),
    "restored": Golden(
        "`decided`, completed: supplements of restored and reworded instructions",
        _BASE,
        settings=None,
        asks=("answer",),
    ),
    "merged": Golden(
        "`answered`, `restored` and a run from other seeds, merged",
        Voice("gain"),
        settings=None,
        asks=("complete", "answer"),
    ),
    "stricter": Golden(
        "`completed`, judged again by stricter thresholds: supplements fall",
        _STRICT,
        settings=None,
    ),
    "odd_texts": Golden(
        "marks, nested lists, words for no input, rests of texts: what a parser must be ready for",
        OddVoice("odd"),
        settings={"stop.target": 12, "likelihood.seed_bound": False},
    ),
    "failed": Golden(
        "requests that failed for good, in every stage, and answers that were all thought",
        Voice("failed", lists="chat", answers="direct"),
        thinks=True,
        settings={
            "model.prompting": "chat",
            "model.thinking": True,
            "likelihood.gain": True,
            "stop.target": 12,
        },
    ),
    "no_rule": Golden(
        "judged without the rule `not_a_task`; its stored config does not know the rule",
        Voice("rule11", more=("statement",) * 8),
        settings={"rules.not_a_task": False, "stop.target": 8},
    ),
    "old_first": Golden(
        "made by commit b42668b: no recorded tokenizer, no audit_floor, no template of answers",
        _OLD,
        settings=None,
    ),
    "old_chat": Golden(
        "made by commit b42668b with chat prompting, without direct answers",
        Voice("old_chat", first=7, lists="chat", answers="chat"),
        settings=None,
    ),
    "old_filterless": Golden(
        "made by commit e3592d8, the last one without a likelihood filter",
        Voice("filterless"),
        settings=None,
        asks=("answer",),
    ),
    "third": Golden(
        "version 3: lists and instances of many forms, copies, held answers, kinds by words",
        _THIRD,
        settings={"rules_version": 3, "stop.target": 14, "propose.per_round": 5},
        asks=("answer",),
    ),
    "third_opened": Golden(
        "version 3 with a chat template whose last turn is opened; a shown list goes on",
        ThirdVoice("third_opened", answers="direct"),
        settings={
            "rules_version": 3,
            "model.prompting": "chat",
            "model.system": "You are a calm teacher.",
            "stop.target": 14,
            "propose.per_round": 5,
        },
    ),
    "third_restored": Golden(
        "`third` with restored copies and held answers: their instances are written later",
        _THIRD,
        settings=None,
        asks=("complete",),
    ),
    "third_odd": Golden(
        "version 3: marks, nested lists, words for no input, rests of texts",
        OddVoice("third_odd"),
        settings={"rules_version": 3, "stop.target": 12, "likelihood.seed_bound": False},
    ),
    "third_failed": Golden(
        "version 3: requests that failed three times, and answers that were all thought",
        ThirdVoice("third_failed", lists="chat", answers="direct"),
        thinks=True,
        settings={
            "rules_version": 3,
            "model.prompting": "chat",
            "model.thinking": True,
            "stop.target": 12,
            "propose.per_round": 5,
        },
        asks=("complete",),
    ),
    "third_chinese": Golden(
        "version 3 in Chinese: markers, words, phrases and limits of the language",
        Voice(
            "third_chinese",
            first=5,
            chinese=True,
            input="输入：",  # noqa: RUF001
            output="输出：",  # noqa: RUF001
            label="类别：",  # noqa: RUF001
            yes="类别",
        ),
        settings={
            "rules_version": 3,
            "language": "zh",
            "seeds": "inputs/chinese.txt",
            "propose.in_context": 4,
            "propose.from_seeds": 4,
            "propose.list_length": 9,
        },
    ),
    "conversed": Golden(
        "version 4 with self-chats of two makings, and people's decisions about them",
        TalkingVoice("conversed"),
        settings={
            "rules_version": 4,
            "stop.target": 24,
            "propose.per_round": 9,
            "likelihood.calibration": 12,
        },
        asks=("converse",),
    ),
    "revised": Golden(
        "version 6 with revisions of its own outputs and of drafts, and an edited task",
        RevisingVoice("revised"),
        settings={
            "rules_version": 6,
            "stop.target": 16,
            "propose.per_round": 9,
            "likelihood.quantile": None,
        },
        asks=("revise",),
    ),
}
