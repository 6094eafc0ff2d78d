"""Stands for the processes of a chain of any shape: writes what each stage leaves behind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfinstruct.align.settings import AlignSettings
from selfinstruct.align.stages import Stage, stages_of
from selfinstruct.common import atomic
from tests.align.test_chain import HEALTH, WRITES

# Of a training on rewards.
GAINED = {
    "gain": {"mean": 0.5, "low": 0.2, "high": 0.8},
    "divergence": 2.0,
    "warnings": [{"trouble": "reward_hacking", "found": "rose", "advice": "stop"}],
}


def evaluation_of(names: Sequence[str]) -> dict[str, Any]:
    """Return a report in which each model is 0.01 above the one before it."""
    means = {name: 0.1 + 0.01 * place for place, name in enumerate(names)}
    return {
        "settings": {"judge": None},
        "models": {
            name: {"rouge_l": mean, "passage_logprob": -4 - mean} for name, mean in means.items()
        },
        "comparisons": [
            {
                "a": a,
                "b": b,
                "metric": metric,
                "difference": sign * (means[a] - means[b]),
                "low": sign * (means[a] - means[b]) - 0.02,
                "high": sign * (means[a] - means[b]) + 0.02,
            }
            for metric, sign in (("rouge_l", 1), ("passage_logprob", -1))
            for place, a in enumerate(names)
            for b in names[:place]
        ],
        "wins": [],
    }


def content(stage: Stage) -> Any:
    """Return the last file of a stage."""
    if stage.step.kind == "evaluate":
        words = stage.words
        named = [words[n + 1] for n, word in enumerate(words) if word == "--model"]
        return evaluation_of([name.partition("=")[0] for name in named])
    if stage.step.kind == "rl":
        return {"health": GAINED}
    kind = "sft" if stage.step.kind in ("sft-chosen", "best-of") else stage.step.kind
    return (
        {"health": HEALTH}
        if kind == "dpo" and stage.name != "dpo"
        else WRITES.get(kind, ("", {}))[1]
    )


class Scripted:
    """Runs the commands of a chain, by writing their last files.

    `fails` names a stage that ends with exit code 3; `dies` one whose process is killed, after
    it has written.
    """

    def __init__(self, out: Path, settings: AlignSettings, fails: str = "", dies: str = "") -> None:
        self.out, self.fails, self.dies = out, fails, dies
        self.by_words = {stage.words: stage for stage in stages_of(out, settings)}
        self.ran: list[str] = []

    def __call__(self, words: Sequence[str]) -> int:
        stage = self.by_words[tuple(words)]
        self.ran.append(stage.name)
        if stage.name == self.fails:
            return 3
        path, told = self.out / stage.makes, content(stage)
        with atomic.refusal(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(path, json.dumps(told) + "\n")
        if stage.name == self.dies:
            raise KeyboardInterrupt
        return 0


def drawn(_: Path, settings: AlignSettings, stages: Sequence[Stage]) -> dict[str, Any]:
    """Return a curve on which the reward rises by 1 an iteration."""
    names = ["sft", *(one.name for one in stages if one.step.kind in settings.chosen)]
    points = [
        {
            "iteration": place,
            "policy": name,
            "reward": float(place),
            "gold": None,
            "divergence": 0.5 * place,
            "tokens": 9.0,
            "endless": 0.0,
            "reward_gain": {"mean": float(place), "low": place - 0.5, "high": place + 0.5},
            "gold_gain": {"mean": None, "low": None, "high": None},
        }
        for place, name in enumerate(names)
    ]
    units = {"reward": 2.0, "gold": 1.0}
    return {"prompts": 40, "points": points, "units": units, "warnings": []}
