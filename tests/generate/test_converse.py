"""Self-chats: what is asked, how they end, and what a stop, a failure or another model changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.cli.app import run as cli
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.progress import Conversed
from selfinstruct.common.records import ACCEPTED, Conversation, Request, Stage
from selfinstruct.dataset.rows import export_rows
from selfinstruct.decisions.decide import Words, drop, edit
from selfinstruct.engines.base import Capabilities
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.store import Run, open_run
from selfinstruct.store.commits import CONVERSATIONS
from selfinstruct.verdicts.replay import replay
from tests.conftest import Generate, varied_script
from tests.engines.kinds import stand_in_for_vllm
from tests.generate.chatting import (
    chat,
    chats_of,
    content,
    other_model,
    outcomes,
    saying,
    turns_of,
)
from tests.generate.test_failures import Failing

GOOD = (
    "Which of them is the oldest?",
    "The northern one was built first, in 1820.",
    "Can I visit it on a Sunday?",
    "Only in summer, from ten to four.",
)


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    """A few tasks, whose self-chats are judged by rules alone."""
    values = {"likelihood__seed_bound": False, "likelihood__quantile": None}
    return generate(tmp_path / "run", stop__target=6, **values)[0]


def test_every_task_opens_one_self_chat(run: Run) -> None:
    tasks = list(export_rows(run))
    told: list[tuple[int, int]] = []
    result = chat(run, saying(*GOOD), advance=lambda *step: told.append(step))
    assert result == Conversed(owed=6, written=6, accepted=6, exchanges=18)
    assert told[-1] == (6, 6)
    chats = chats_of(run)
    assert [one.id for one in chats] == [f"{task.instruction_id}-c0" for task in tasks]
    assert {(one.ended, one.verdict, one.exchanges) for one in chats} == {("turns", ACCEPTED, 3)}
    assert {one.opened_by for one in chats} == {"rules"}
    for task, one in zip(tasks, chats, strict=True):
        turns = turns_of(run, one.id)
        user = f"{task.instruction}\n\n{task.input}" if task.input else task.instruction
        assert [turn.text for turn in turns] == [user, task.output, *GOOD]
        assert [turn.id for turn in turns] == [f"{one.id}-t{place}" for place in range(6)]
        assert [turn.role for turn in turns] == ["user", "assistant"] * 3
        assert outcomes(turns) == [ACCEPTED] * 6
        assert all(turn.mean_logprob < 0 for turn in turns[2:])
    assert replay(run) == []
    assert chat(run, saying(*GOOD)) == Conversed()


def test_seeds_are_hashes_of_the_ids(run: Run) -> None:
    chat(run)
    for completion in CONVERSATIONS.read_completions(run, 0):
        request = completion.request
        assert request.id == f"{request.about}-{request.stage}"
        assert request.seed == derive_seed(0, request.id)


@pytest.mark.parametrize(
    ("said", "reasons", "ended"),
    [
        ([GOOD[0], GOOD[1], "Thanks, that is all."], ["user_done"], "user_done"),
        ([GOOD[0], GOOD[1], "   "], ["empty_turn"], "empty_turn"),
        ([GOOD[0], GOOD[1], GOOD[2], ""], ["unanswered", "empty_turn"], "empty_turn"),
        (
            [GOOD[0], GOOD[1], GOOD[2], "I'm sorry, but I can't help with that."],
            ["unanswered", "refusal"],
            "refusal",
        ),
        ([GOOD[0], GOOD[1], "So which of them is oldest?"], ["repeats_turn"], "repeats_turn"),
        (
            [GOOD[0], GOOD[1], GOOD[2], "The northern one was built first, in 1820."],
            ["unanswered", "repeats_turn"],
            "repeats_turn",
        ),
        ([GOOD[0], GOOD[1], ("Tell me about the", "length")], ["truncated"], "truncated"),
        ([GOOD[0], GOOD[1], "Can you repair my bicycle there?"], ["copies_example"], None),
        ([GOOD[0], GOOD[1], "Here are two more towers to see."], ["wrong_speaker"], None),
        ([GOOD[0], GOOD[1], "Does that work for rolls, too?"], ["copies_example"], None),
        ([GOOD[0], GOOD[1], "Draw a map of the way there."], ["unsuitable_keyword"], None),
        ([GOOD[0], GOOD[1], "The weather is nice today."], ["not_a_task"], None),
        ([GOOD[0], GOOD[1], "Is it open? It is open."], ["holds_answer"], None),
        ([GOOD[0], GOOD[1], GOOD[2], "Ask [name] at the desk, or [name]."], None, "placeholder"),
    ],
)
def test_a_bad_turn_ends_a_self_chat(
    run: Run, said: list[Any], reasons: list[str] | None, ended: str | None
) -> None:
    chat(run, saying(*said))
    [first, *_] = chats_of(run)
    turns = turns_of(run, first.id)
    assert len(turns) == 2 + len(said)
    assert (first.verdict, first.exchanges) == (ACCEPTED, 2)
    expected = reasons or ["unanswered", str(ended)]
    assert outcomes(turns) == [ACCEPTED] * 4 + expected
    assert first.ended == (ended or expected[-1])
    assert replay(run) == []


def test_a_self_chat_of_one_exchange_is_only_the_task(run: Run) -> None:
    result = chat(run, saying("Thank you! That was very helpful."))
    assert (result.written, result.accepted) == (6, 0)
    for one in chats_of(run):
        assert (one.verdict, one.reason, one.exchanges) == ("rejected", "short_chat", 0)
        assert outcomes(turns_of(run, one.id)) == ["short_chat", "short_chat", "user_done"]
    assert replay(run) == []


def test_what_is_around_a_turn_is_cut_and_the_span_is_the_rest(run: Run) -> None:
    chat(run, saying('User: "Which of them is the oldest?"', f"Sure! {GOOD[1]}", *GOOD[2:]))
    completions = {c.id: c for c in CONVERSATIONS.read_completions(run, 0)}
    [first, *_] = chats_of(run)
    for turn, text in zip(turns_of(run, first.id)[2:], GOOD, strict=True):
        assert turn.text == text
        written = completions[str(turn.completion_id)].text
        assert written[turn.char_start : turn.char_end] == text


def test_one_said_before_is_named(run: Run) -> None:
    long = "It has a large garden with nine old trees and a pond in the middle of it."
    chat(run, saying(GOOD[0], long, GOOD[2], f"Yes. {long} Tickets are sold at the door."))
    [first, *_] = chats_of(run)
    last = turns_of(run, first.id)[-1]
    # All 17 words of the first reply are in the second, which has 24: 2 * 17 / (17 + 24). Of its 17
    # runs of 8 words, 10 are copied, which is less.
    assert last.shared == pytest.approx(2 * 17 / 41)
    assert last.shared_with == f"{first.id}-t3"
    assert (last.reason, last.threshold) == ("repeats_turn", 0.7)


def test_likelihood_is_checked_once_a_batch_is_written(tmp_path: Path, generate: Generate) -> None:
    values = {"likelihood__calibration": 6, "likelihood__quantile": 0.2}
    run, _ = generate(tmp_path / "run", stop__target=12, likelihood__seed_bound=False, **values)
    chat(run, saying(*GOOD))
    turns = [turn for turn in turns_of(run) if turn.number > 1]
    for role, kind in (("user", "user"), ("assistant", "assistant")):
        scores = sorted(turn.mean_logprob for turn in turns if turn.role == role)
        place = 0.2 * (len(scores) - 1)
        low = scores[int(place)]
        least = low + (scores[int(place) + 1] - low) * (place - int(place))
        assert CONVERSATIONS.info(run, 0)["likelihood"][kind] == pytest.approx(least)
        for turn in turns:
            if turn.role == role:
                assert turn.logprob_threshold == pytest.approx(least)
                fell = turn.reason == "low_likelihood"
                # Whatever falls ends its self-chat, and what stands after it is not looked at.
                assert fell == (turn.mean_logprob < least)
    assert {"low_likelihood", "after_end"} <= set(outcomes(turns))
    for one in chats_of(run):
        own = turns_of(run, one.id)
        end = next((place for place, turn in enumerate(own) if turn.reason), len(own))
        assert one.exchanges == (end // 2 if end >= 4 else 0)
    assert replay(run) == []


def test_a_stop_loses_nothing_that_was_committed(run: Run) -> None:
    with pytest.raises(EngineError):
        chat(run, saying(*GOOD), batch_size=2, engine={"die_after": 22, "batch": 2})
    done = len(chats_of(run))
    assert 0 < done < 6
    result = chat(run, saying(*GOOD), batch_size=2)
    assert (result.owed, result.written) == (6 - done, 6 - done)
    assert len({one.id for one in chats_of(run)}) == 6


@pytest.fixture
def uninterrupted(small: Run, tmp_path: Path) -> tuple[Run, list[str]]:
    """The run before its self-chats, and all that they hold where nothing stops them."""
    whole = tmp_path / "whole"
    shutil.copytree(small.path, whole)
    chat(open_run(whole), batch_size=4)
    return small, content(open_run(whole))


def test_resumed_equals_uninterrupted(
    uninterrupted: tuple[Run, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, expected = uninterrupted

    @settings(max_examples=15, deadline=None, database=None)
    @given(stops=st.lists(st.integers(1, 90), max_size=4), shuffle=st.integers(0, 9))
    def law(stops: list[int], shuffle: int) -> None:
        folder = tmp_path_factory.mktemp("stopped") / "run"
        shutil.copytree(before.path, folder)
        run = open_run(folder)
        for stop in stops:
            try:
                chat(run, batch_size=4, engine={"die_after": stop, "shuffle": shuffle, "batch": 3})
            except EngineError:
                continue
        chat(run, batch_size=4)
        assert content(run) == expected
        assert replay(run) == []
        shutil.rmtree(folder.parent)

    law()


def test_a_run_that_grows_is_gone_on_with(run: Run, generate: Generate) -> None:
    chat(run)
    before = {one.id for one in chats_of(run)}
    generate(run.path, resume=True, stop__target=9)
    grown = open_run(run.path)
    assert chat(grown).owed == 3
    assert len({one.id for one in chats_of(grown)} - before) == 3
    assert replay(grown) == []


def test_what_the_engine_fails_on_is_owed_again(run: Run) -> None:
    def fails(request: Request, before: int) -> bool:
        return request.stage is Stage.REPLY and "-t5" in request.id and request.id.endswith(bad)

    tasks = [row.instruction_id for row in export_rows(run)]
    bad = f"{tasks[2]}-c0-t5-reply"
    result = chat(run, saying(*GOOD), make=partial(Failing, fails=fails))
    assert (result.written, result.failed) == (5, 1)
    assert replay(run) == []
    assert chat(run, saying(*GOOD)) == Conversed(1, 1, 1, 3)


def test_an_engine_that_fails_on_all_ends_it(run: Run) -> None:
    with pytest.raises(EngineError, match="this batch of self-chats: 6 of 6 requests failed"):
        chat(run, make=partial(Failing, fails=lambda *_: True))
    assert CONVERSATIONS.numbers(run) == []


def test_scores_are_asked_for_where_an_engine_writes_without(run: Run) -> None:
    can = Capabilities(logprobs=False, score=True, seeded=True)
    chat(run, saying(*GOOD), engine={"capabilities": can})
    later = [turn for turn in turns_of(run) if turn.number > 1]
    assert all(turn.mean_logprob < 0 for turn in later)
    assert replay(run) == []


def test_a_full_context_ends_a_self_chat(run: Run) -> None:
    long = f"{' '.join(f'w{place}' for place in range(200))}."
    chat(
        run,
        saying(GOOD[0], long, GOOD[2]),
        values={"instances": {"sampling": {"max_tokens": 200}}},
        engine={"context_length": 620},
    )
    for one in chats_of(run):
        assert (one.ended, one.exchanges) == ("no_room", 2)
        assert outcomes(turns_of(run, one.id))[-1] == "unanswered"
    assert replay(run) == []
    with pytest.raises(ConfigError, match="is too short: the shortest self-chat"):
        chat(run, converse={"turns": 4}, engine={"context_length": 300})


def test_another_model_and_other_settings_make_others(run: Run, tmp_path: Path) -> None:
    chat(run, saying(*GOOD))
    folder = other_model(tmp_path / "other")
    model = {"model": {"name": str(folder)}}
    assert chat(run, saying(*GOOD), values=model).owed == 6
    assert chat(run, saying(*GOOD), values=model) == Conversed()
    assert chat(run, saying(*GOOD), converse={"turns": 2}).owed == 6
    assert {one.id[-3:] for one in chats_of(run)} == {"-c0", "-c1", "-c2"}
    assert replay(run) == []
    for values, says in (
        ({"stop": {"target": 3}}, "stop: not a setting of self-chats"),
        ({"instances": {"exemplars": 2}}, "instances.exemplars"),
        ({"model": {"system": "Be brief."}}, "name a model with --model"),
        ({"converse": {"turns": 1}}, "--turns: Input should be greater than or equal to 2"),
        ({"converse": {"shared": 1}}, "converse.shared: unknown key"),
        ({"converse": {"user_sampling": {"heat": 1}}}, "converse.user_sampling.heat"),
    ):
        with pytest.raises(ConfigError, match=says):
            chat(run, values=values)


def test_prompts_as_raw_text_and_as_chat(run: Run, tmp_path: Path) -> None:
    prompts: dict[str, list[Any]] = {"base": [], "chat": []}
    folder = other_model(tmp_path / "other")

    def script(mode: str) -> Callable[[Request], str]:
        def answer(request: Request) -> str:
            prompts[mode].append(request)
            return saying(*GOOD)(request)

        return answer

    for mode, asked in prompts.items():
        system = {"system": "Be kind."} if mode == "chat" else {}
        model = {"name": str(folder), "prompting": mode, **system}
        chat(run, script(mode), values={"model": model})
        assert len(asked) == 24
    base = next(one for one in prompts["base"] if one.about.endswith("-c0-t4"))
    assert base.prompt.endswith(f"\nUser: {GOOD[0]}\nAssistant: {GOOD[1]}\nUser:")
    assert base.sampling.stop == ("\nUser:", "\nAssistant:", "\n###")
    assert base.sampling.temperature == 0.7
    recorded = {c.id: c.request for c in CONVERSATIONS.read_completions(run, 1)}
    reply = next(one for id, one in recorded.items() if id.endswith("-t5-reply"))
    assert isinstance(reply.prompt, Conversation)
    assert [turn["role"] for turn in reply.prompt.messages] == [
        "system",
        *["user", "assistant"] * 2,
        "user",
    ]
    assert reply.prompt.messages[0]["content"] == "Be kind."
    assert reply.prompt.messages[-1]["content"] == GOOD[2]
    user = next(one for id, one in recorded.items() if id.endswith("-t4-user"))
    assert user.prompt.opened == "User:"  # type: ignore[union-attr]
    assert f"User: {GOOD[0]}\n\nAssistant: {GOOD[1]}" in user.prompt.messages[-1]["content"]  # type: ignore[union-attr]


def test_an_edited_task_is_another_opening(run: Run) -> None:
    chat(run, saying(*GOOD))
    [first, second, *_] = list(export_rows(run))
    edit(run, first.instruction_id, Words(text="Name the highest tower of all."), by="ann")
    drop(run, second.instruction_id, by="ann")
    assert chat(run, saying(*GOOD)).owed == 1
    new = chats_of(run)[-1]
    assert (new.id, new.opened_by) == (f"{first.instruction_id}-c1", "person")
    assert turns_of(run, new.id)[0].text.startswith("Name the highest tower of all.")
    assert replay(run) == []


def test_the_commands(
    tmp_path: Path,
    generate: Generate,
    model_folder: Path,
    seeds_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def script(request: Request) -> str | tuple[str, str]:
        mine = request.stage in (Stage.USER, Stage.REPLY)
        return saying(*GOOD)(request) if mine else varied_script(request)

    stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, script))
    out = tmp_path / "out"
    arguments = ["generate", "--out", str(out), "--model", str(model_folder), "--turns", "3"]
    arguments += ["--seeds", str(seeds_file), "--target", "5", "--prompting", "base"]
    arguments += ["--set", "likelihood.seed_bound=false"]
    assert cli(arguments) == 0
    assert "5 of 5 conversations accepted, with 15 exchanges" in capfd.readouterr().err
    assert cli([*arguments, "--resume"]) == 0
    assert "every task has a conversation" in capfd.readouterr().err
    assert cli(["converse", str(out), "--turns", "2"]) == 0
    assert "5 of 5 conversations accepted, with 10 exchanges" in capfd.readouterr().out
    assert cli(["converse", str(out), "--turns", "1"]) == 2
    assert cli(["converse", str(tmp_path / "nothing")]) == 2
    assert cli(["audit", "replay", str(out)]) == 0

    def interrupt(request: Request) -> str:
        raise KeyboardInterrupt

    stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, interrupt))
    again = ["converse", str(out), "--turns", "4"]
    monkeypatch.setattr("sys.argv", ["selfinstruct", *again])
    capfd.readouterr()
    assert cli(again) == 130
    assert f"selfinstruct {' '.join(again)}" in capfd.readouterr().err
