"""Steering a run: domain, topics, texts to avoid, plain seeds, a system prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Request, Stage
from selfinstruct.store import Run
from selfinstruct.verdicts.replay import replay
from tests.conftest import varied_script

Generate = Callable[..., tuple[Run, str]]


def prompts_of(run: Run, stage: Stage) -> list[str]:
    return [
        c.prompt
        for number in run.rounds()
        for c in run.completions(number)
        if c.request.stage is stage
    ]


@pytest.mark.parametrize("prompting", ["base", "chat"])
def test_domain_and_topics_are_in_the_proposals(
    tmp_path: Path, generate: Generate, prompting: str
) -> None:
    topics = tmp_path / "topics.txt"
    topics.write_text("horses\n\nparrots\nrabbits\n")
    run, _ = generate(
        tmp_path / "run",
        propose__domain="veterinary practice",
        topics=str(topics),
        model__prompting=prompting,
        propose__per_round=12,
    )
    prompts = prompts_of(run, Stage.PROPOSE)
    assert all("veterinary practice" in prompt for prompt in prompts)
    seen = [[t for t in ("horses", "parrots", "rabbits") if t in prompt] for prompt in prompts]
    assert all(len(one) == 1 for one in seen)
    assert {one[0] for one in seen} == {"horses", "parrots", "rabbits"}
    assert (run.path / "inputs" / "topics.txt").read_text() == topics.read_text()
    assert not any("eterinary" in row.text for n in run.rounds() for row in run.instructions(n))
    assert replay(run) == []


def test_without_them_the_prompts_do_not_mention_them(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run")
    assert not any("field of" in p or "about ." in p for p in prompts_of(run, Stage.PROPOSE))
    assert not (run.path / "inputs" / "topics.txt").exists()


def test_other_topics_are_refused_on_resume(tmp_path: Path, generate: Generate) -> None:
    out = tmp_path / "run"
    topics = tmp_path / "topics.txt"
    topics.write_text("horses\n")
    generate(out, topics=str(topics))
    generate(out, resume=True, stop__target=12)  # those of the run
    topics.write_text("parrots\n")
    with pytest.raises(ConfigError, match="topics_sha256"):
        generate(out, resume=True, stop__target=14, topics=str(topics))


@pytest.mark.parametrize("name", ["topics", "topics.txt", "topics.md", "topics.jsonl"])
def test_a_resumed_run_reads_its_own_copy_alike(
    tmp_path: Path, generate: Generate, name: str
) -> None:
    topics = tmp_path / name
    lines = ["horses", "parrots", "rabbits"]
    topics.write_text("\n".join(f'"{line}"' if "json" in name else line for line in lines))
    whole, _ = generate(tmp_path / "whole", topics=str(topics), stop__target=25)
    generate(tmp_path / "run", topics=str(topics), stop__target=25, stop__max_rounds=1)
    grown, _ = generate(tmp_path / "run", resume=True, stop__target=25, stop__max_rounds=None)
    assert prompts_of(grown, Stage.PROPOSE) == prompts_of(whole, Stage.PROPOSE)
    assert not any('"horses"' in prompt for prompt in prompts_of(grown, Stage.PROPOSE))


@pytest.mark.parametrize("name", ["avoid", "avoid.csv", "avoid.txt", "avoid.jsonl"])
def test_a_task_that_is_to_be_avoided_is_not_novel(
    tmp_path: Path, generate: Generate, name: str
) -> None:
    text = "Describe the harbour at seven in the morning."
    avoid = tmp_path / name
    head = "text\n" if "csv" in name else ""  # a table has a header
    avoid.write_text(f'{{"instruction": "{text}"}}\n' if "json" in name else f"{head}{text}\n")

    def script(request: Request) -> str | tuple[str, str]:
        if request.stage is Stage.PROPOSE and "-p000-" in request.id:
            return f" {text}"
        return varied_script(request)

    run, _ = generate(tmp_path / "run", script, avoid=str(avoid))
    rows = [row for row in run.instructions(0) if row.text == text]
    assert [(row.reason, row.neighbour_id) for row in rows] == [("not_novel", "avoid:1")]
    assert replay(run) == []
    # And after a restart, from the run's own copy.
    avoid.unlink()
    grown, _ = generate(tmp_path / "run", script, resume=True, stop__target=40)
    again = [row for n in grown.rounds()[1:] for row in grown.instructions(n) if row.text == text]
    assert again
    assert {row.neighbour_id for row in again} == {"avoid:1"}


def test_seeds_as_plain_text(tmp_path: Path, generate: Generate) -> None:
    seeds = tmp_path / "seeds.txt"
    lines = [f"Explain how {one} are kept in winter." for one in ["horses", "parrots", "rabbits"]]
    seeds.write_text("\n".join([*lines, "", "Write a vaccination reminder.", "Name a bird."]))
    run, reason = generate(tmp_path / "run", seeds=str(seeds))
    assert reason == "target"
    parents = {p for row in run.instructions(0) for p in row.parents}
    assert parents == {"seed:1", "seed:2", "seed:3", "seed:5", "seed:6"}
    assert (run.path / "inputs" / "seeds.txt").exists()
    grown, _ = generate(tmp_path / "run", resume=True, stop__target=14)
    assert replay(grown) == []


def test_a_system_prompt_stands_before_the_task(tmp_path: Path, generate: Generate) -> None:
    system = "You are a calm veterinary nurse."
    run, _ = generate(tmp_path / "run", model__prompting="chat", model__system=system)
    for prompt in prompts_of(run, Stage.INSTANCES):
        assert prompt.startswith(f"<system>{system}")
        assert prompt.count("<system>") == 1
    assert not any(system in prompt for prompt in prompts_of(run, Stage.CLASSIFY))


def test_a_system_prompt_that_nobody_would_see_is_refused(
    tmp_path: Path, generate: Generate
) -> None:
    with pytest.raises(ConfigError, match="a system prompt needs a chat template"):
        generate(tmp_path / "run", model__prompting="base", model__system="Be kind.")
    assert not (tmp_path / "run").exists()


def test_templates_that_would_ignore_a_domain_are_refused(
    tmp_path: Path, generate: Generate
) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "propose.base.jinja").write_text("{% for t in tasks %}\n1. {{ t }}\n{% endfor %}")
    with pytest.raises(ConfigError, match=r"does not use 'domain'"):
        generate(tmp_path / "run", prompts=str(prompts), propose__domain="law")


CHINESE = [
    "写一首关于春天的短诗。",
    "把下面的句子翻译成英文。",
    "列出三种保持健康的方法。",
    "解释为什么天空是蓝色的。",
    "给朋友写一封道歉信。",
]


def test_chinese_duplicates_are_caught(tmp_path: Path, generate: Generate) -> None:
    seeds = tmp_path / "chinese.txt"
    seeds.write_text("\n".join(CHINESE), encoding="utf-8")

    def script(request: Request) -> str:
        if request.stage is Stage.PROPOSE:
            first = len(request.parents) + 1
            items = ("写一首关于秋天的短诗。", "介绍一种你喜欢的水果。", "写一首关于春天的短诗")
            return "".join(f"\n{first + i}. {item}" for i, item in enumerate(items))[4:]
        return " text" if request.stage is Stage.CLASSIFY else "Output: 好的。"

    run, _ = generate(
        tmp_path / "run",
        script,
        seeds=str(seeds),
        rules__script=None,
        rules__min_words=None,
        stop__max_rounds=1,
    )
    rows = run.instructions(0)[:3]
    assert [str(row.reason) for row in rows] == ["not_novel", "None", "copies_prompt"]
    assert rows[0].neighbour_id == "seed:1"
    assert rows[0].rouge_l == pytest.approx(0.9)  # 9 of 10 characters
    assert {row.novelty_tokenizer for row in rows} == {"unicode"}
    # The same proposal again and again: all but the first are repeats.
    repeats = {row.reason for row in run.instructions(0)[3:]}
    assert repeats == {"not_novel", "copies_prompt"}
    assert replay(run) == []


@pytest.mark.parametrize("option", ["--topics", "--avoid"])
def test_a_missing_file(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], model_folder: Path
) -> None:
    arguments = ["generate", "--out", str(tmp_path / "run"), option, "/no/such/file.txt"]
    assert cli([*arguments, "--model", str(model_folder)]) == 2
    assert f"check {option}" in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "run").exists()
