"""What is said before hours are spent: seeds that break the rules, a round that gives little."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.watch import Watcher
from selfinstruct.common.progress import Advised, Event
from selfinstruct.common.records import Instance, Request, SeedTask, Stage
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config
from selfinstruct.prompts import load_prompts
from selfinstruct.store import Run
from selfinstruct.verdicts.advice import advice_on_seeds
from selfinstruct.verdicts.rulebook import Rulebook
from tests.conftest import make_seed, varied_script, write_seeds

Generate = Callable[..., tuple[Run, str]]
GOOD = [f"Explain how {animal} are kept in winter." for animal in ("horses", "parrots", "bees")]


def seeds(texts: list[str]) -> list[SeedTask]:
    return [SeedTask(str(n), "", text, (Instance("", "x"),), False) for n, text in enumerate(texts)]


def rulebook(config: RunConfig | None = None) -> Rulebook:
    return Rulebook(config or build_config({}, "test"), load_prompts())


def test_a_few_seeds_that_break_a_rule_are_not_worth_a_word() -> None:
    assert advice_on_seeds(seeds(GOOD), rulebook()) == []
    assert advice_on_seeds(seeds([*GOOD, "Sing.", "Run."]), rulebook()) == []
    # Three of sixty-three are less than a twentieth.
    assert advice_on_seeds(seeds([*GOOD * 20, "Sing.", "Run.", "Eat."]), rulebook()) == []


def test_seeds_that_break_a_rule_are_said_with_the_setting() -> None:
    [advice] = advice_on_seeds(seeds([*GOOD, "Sing.", "Run.", "Eat."]), rulebook())
    assert (advice.reason, advice.count, advice.total) == ("too_short", 3, 6)
    text = str(advice)
    assert text.startswith("3 of 6 seed tasks are of a kind that would be rejected as too_short (")
    assert 'such as "Sing."' in text
    assert "--set rules.min_words=… (now 4, null switches it off)" in text


def test_the_setting_is_what_ends_the_warning() -> None:
    texts = [f"请写一首关于{thing}的短诗。" for thing in "春夏秋冬山水"]
    reasons = {advice.reason for advice in advice_on_seeds(seeds(texts), rulebook())}
    assert reasons
    off = build_config({"rules": {"min_words": None, "script": None}}, "test")
    assert advice_on_seeds(seeds(texts), rulebook(off)) == []


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (
            [f"请写一首关于{one}的短诗。" for one in "春夏秋冬"],
            "look like Chinese: a new run with --language zh",
        ),
        (
            ["Опиши свой дом.", "Расскажи сказку.", "Напиши письмо."],
            "--language (de, vi, zh), and docs/",
        ),
    ],
)
def test_texts_in_another_language_are_told_of_it(texts: list[str], said: str) -> None:
    found = [str(advice) for advice in advice_on_seeds(seeds(texts), rulebook())]
    assert found
    assert all(said in text for text in found)


def test_short_english_texts_are_told_of_no_language() -> None:
    [advice] = advice_on_seeds(seeds([*GOOD, "Sing.", "Run.", "Eat."]), rulebook())
    assert "language" not in advice.action


def test_a_run_in_a_language_is_told_of_no_other() -> None:
    config = build_config({"language": "de", "rules": {"script": "LATIN"}}, "test")
    texts = [f"请写一首关于{one}的短诗。" for one in "春夏秋冬"]
    found = advice_on_seeds(seeds(texts), rulebook(config))
    assert found
    assert not any("--language" in str(advice) for advice in found)


def test_it_is_said_before_a_model_is_loaded(tmp_path: Path, generate: Generate) -> None:
    file = write_seeds(
        tmp_path / "short.jsonl",
        [make_seed(n, instruction=f"Sing p{n}.") for n in range(4)]
        + [make_seed(n) for n in range(4, 12)],
    )
    events: list[Event] = []
    run, _ = generate(tmp_path / "run", seeds=str(file), listen=events.append)
    first = events[0]
    assert isinstance(first, Advised)
    assert first.text.startswith("4 of 12 seed tasks are of a kind")
    again: list[Event] = []
    generate(run.path, resume=True, stop__target=14, listen=again.append)
    assert not any(isinstance(event, Advised) for event in again)


def copies(request: Request) -> str | tuple[str, str]:
    """Write the same task again and again."""
    if request.stage is Stage.PROPOSE:
        return " Compare proverb p1 about q1 and r1.\n10. Compare proverb p1 about q1 and r1."
    return varied_script(request)


def test_a_first_round_with_one_reason_says_which(tmp_path: Path, generate: Generate) -> None:
    events: list[Event] = []
    run, _ = generate(tmp_path / "run", copies, listen=events.append, stop__max_rounds=2)
    [said] = [event.text for event in events if isinstance(event, Advised)]
    reasons = Counter(row.reason for row in run.instructions(0))
    [(reason, count)] = reasons.most_common(1)
    assert count > 4
    assert said.startswith(
        f"{count} of 8 candidates of the first round were rejected as {reason} ("
    )
    assert 'such as "Compare proverb p1 about q1 and r1."; ' in said
    assert "--prompting" in said
    assert summarise(run).advice == said


def test_a_good_first_round_says_nothing(tmp_path: Path, generate: Generate) -> None:
    events: list[Event] = []
    run, _ = generate(tmp_path / "run", listen=events.append)
    assert not any(isinstance(event, Advised) for event in events)
    assert summarise(run).advice is None


def test_the_terminal_shows_it() -> None:
    out = StringIO()
    watcher = Watcher(Console(file=out, width=60), "run")
    watcher(Advised("8 of 9 candidates were rejected [as] not_novel; do this"))
    assert out.getvalue() == "warning: 8 of 9 candidates were rejected [as] not_novel; do this\n"
    assert json.dumps(watcher._state.advice)
