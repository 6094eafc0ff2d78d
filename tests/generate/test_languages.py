"""Runs in other languages, through the scripted engine."""

# ruff: noqa: RUF001
from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED, Form, Request, Stage
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.store import Run
from selfinstruct.verdicts.replay import replay
from tests.conftest import draw

Generate = Callable[..., tuple[Run, str]]
SEEDS_ZH = Path(__file__).parents[1] / "data" / "seeds_zh.jsonl"

THINGS = (
    *("春天", "夏夜", "雪山", "老街", "茶馆", "灯塔", "渡口", "书店"),
    *("果园", "集市", "竹林", "石桥", "渔村", "车站", "广场", "菜园"),
)
DEEDS = [
    "写一首关于{}的小诗，押韵并且不超过六行",
    "向小学生介绍{}的由来",
    "给去{}的朋友提三点建议",
    "判断下面这段关于{}的文字是否合适",
]
WORDS = "木火土金水云雨风雷电山川江河湖海花草虫鱼"


def item_zh(request: Request, number: int) -> str:
    kind = draw(request, f"kind{number}", 12)
    if kind == 0:
        return "画一张小猫睡觉的图片。"
    if kind == 1:
        return "写诗。"
    if kind in (2, 4):
        return "请用一句话说明为啥要早睡早起。"  # nearly a seed
    if kind == 3:
        return "作为人工智能，我无法列出任务。"
    thing = THINGS[draw(request, f"thing{number}", len(THINGS))]
    deed = DEEDS[draw(request, f"deed{number}", len(DEEDS))].format(thing)
    extra = "".join(WORDS[draw(request, f"word{number}{place}", 20)] for place in range(14))
    return f"{deed}，并提到{extra}。"


def chinese(request: Request) -> str | tuple[str, str]:
    if request.stage is Stage.PROPOSE:
        first = len(request.parents) + 1
        items = [item_zh(request, number) for number in range(5)]
        lines = [f" {items[0]}", *(f"{first + n}. {item}" for n, item in enumerate(items[1:], 1))]
        return "\n".join(lines)
    if request.stage is Stage.CLASSIFY:
        return "类别" if draw(request, "label", 4) == 0 else "文本"
    if request.reading.form is Form.OUTPUT_FIRST:
        text = "合适\n输入：清早的江边\n类别：不合适\n输入：深夜的操场"
        return text if request.reading.opened else f"类别：{text}"
    return [
        "输出：清早的雾还没有散，远处已经有人在唱歌。",
        "输入：无\n输出：先看天气，再约朋友，最后带上水和干粮。",
        "输出：好的，这就给你写。",
        "输出：作为人工智能，我没有去过那里。",
    ][draw(request, "answer", 4)]


def test_a_chinese_run(tmp_path: Path, generate: Generate, capsys: Any) -> None:
    values = {
        "language": "zh",
        "seeds": str(SEEDS_ZH),
        "stop__target": 12,
        "stop__min_yield": 0.0,
        "seed": 1,
    }
    run, reason = generate(tmp_path / "run", chinese, **values)
    assert reason == "target"
    rows = [row for number in run.rounds() for row in run.instructions(number)]
    reasons = Counter(str(row.reason) for row in rows)
    assert reasons["unsuitable_keyword"]
    assert reasons["too_short"]
    assert reasons["refusal"]
    near = [row for row in rows if row.reason == "not_novel"]
    copies = [row for row in near if "早睡" in row.text]
    assert {row.neighbour_id for row in copies} == {"seed:zh_1"}
    assert {row.novelty_tokenizer for row in near} == {"unicode"}
    instances = [row for number in run.rounds() for row in run.instances(number)]
    assert {row.reason for row in instances if row.output.startswith("好的")} <= {
        *("chatty_preamble", "over_target", "no_instances")
    }
    kept = [row for row in instances if row.verdict == ACCEPTED]
    assert {"合适", "不合适"} <= {row.output for row in kept}
    assert not any("输入" in row.output or "输出" in row.output for row in kept)
    assert not any(row.input == "无" for row in kept)
    # It holds all it needs: the templates, as used.
    prompts = [c.prompt for c in run.completions(0) if c.request.stage is Stage.PROPOSE]
    assert all("下面的清单" in str(prompt) for prompt in prompts)
    assert "任务：" in (run.path / "inputs/prompts/input_first.base.jinja").read_text("utf-8")
    assert replay(run) == []
    grown, reason = generate(tmp_path / "run", chinese, resume=True, stop__target=16, language="zh")
    assert reason == "target"
    assert replay(grown) == []
    path = tmp_path / "tasks.jsonl"
    export(grown, Format.ALPACA, path)
    exported = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len({row["instruction"] for row in exported}) == 16
    assert cli(["audit", "show", str(run.path), copies[0].id]) == 0
    assert "早睡早起" in capsys.readouterr().out
    with pytest.raises(ConfigError, match='language: "zh" -> "de"'):
        generate(tmp_path / "run", chinese, resume=True, stop__target=20, language="de")


@pytest.mark.parametrize("prompting", ["base", "chat"])
@pytest.mark.parametrize(
    ("language", "task", "words"),
    [
        ("de", "Erkläre den Unterschied zwischen {} und {}.", ("Eingabe:", "Ausgabe:", "Keine")),
        ("vi", "Giải thích sự khác nhau giữa {} và {}.", ("Đầu vào:", "Kết quả:", "Không có")),
        ("zh", "解释{}和{}这两样东西的区别。", ("输入：", "输出：", "无")),
    ],
)
def test_completions_are_read_by_the_words_of_the_language(
    tmp_path: Path,
    generate: Generate,
    prompting: str,
    language: str,
    task: str,
    words: tuple[str, str, str],
) -> None:
    numbers = count(100)
    given, result, none = words

    def script(request: Request) -> str:
        if request.stage is Stage.PROPOSE:
            first = len(request.parents) + 1
            items = [task.format(f"x{next(numbers)}", f"y{next(numbers)}") for _ in range(3)]
            lines = [f"{first + place}. {item}" for place, item in enumerate(items)]
            text = "\n".join(lines)
            return text.removeprefix(f"{first}.") if request.reading.continues else text
        if request.stage is Stage.CLASSIFY:
            return "…"
        return f"{given} {none}\n{result} 42, 43."

    run, _ = generate(
        tmp_path / "run",
        script,
        language=language,
        model__prompting=prompting,
        instances__direct=False,
        stop__target=6,
        novelty__threshold=0.95,
    )
    rows = [row for number in run.rounds() for row in run.instances(number)]
    accepted = [row for row in rows if row.verdict == ACCEPTED]
    assert len(accepted) == 6
    assert {(row.input, row.output) for row in accepted} == {("", "42, 43.")}
    assert replay(run) == []


@pytest.mark.parametrize(("language", "warned"), [("de", True), ("zh", False), (None, False)])
def test_seeds_in_another_language_are_said_at_the_start(
    tmp_path: Path, generate: Generate, caplog: Any, language: str | None, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        generate(
            tmp_path / "run", chinese, language=language, seeds=str(SEEDS_ZH), stop__max_rounds=1
        )
    assert ("do not look like German" in caplog.text) is warned


def test_an_unknown_language_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "run"
    assert cli(["generate", "--out", str(out), "--language", "tlh"]) == 2
    assert "de, vi, zh" in capsys.readouterr().err
    assert not out.exists()


def test_values_of_the_user_win_over_those_of_the_language(
    tmp_path: Path, generate: Generate
) -> None:
    values = {"seeds": str(SEEDS_ZH), "stop__max_rounds": 1, "rules__max_words": 77}
    run, _ = generate(tmp_path / "run", chinese, language="zh", **values)
    rules = run.meta["config"]["rules"]
    assert (rules["max_words"], rules["script"], rules["script_share"]) == (77, "CJK", 0.3)
    assert run.meta["config"]["language"] == "zh"
