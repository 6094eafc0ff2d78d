"""The engine that asks servers: against servers that answer, fail, die and come back."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Sequence

import pytest

from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.records import Completion, Conversation, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines import http, http_servers
from selfinstruct.engines.base import scoring_request
from selfinstruct.engines.http import HttpEngine
from selfinstruct.models.endpoint import resolve_endpoint, with_endpoint
from tests.engines.http_server import FakeServer, serving


def answer(prompt: str) -> str:
    return f"answer to {hashlib.sha256(prompt.encode()).hexdigest()[:8]}"


def engine_of(*servers: FakeServer, **options: object) -> HttpEngine:
    model = resolve_endpoint("toy", [server.url for server in servers])
    config = EngineConfig(name="openai", **options)
    engine = HttpEngine(model, ModelConfig(), config)
    engine.start(4096)
    return engine


def request(number: int, prompt: object = None) -> Request:
    return Request(
        id=f"r{number}", about=f"t{number}", stage=Stage.ANSWER, reading=Reading(Form.WHOLE),
        prompt=prompt or f"Question {number} of many:", seed=number,
        sampling=SamplingConfig(temperature=0.7, min_p=0.05, max_tokens=32),
    )  # fmt: skip


def completions_of(engine: HttpEngine, requests: Sequence[Request]) -> dict[str, Completion]:
    engine.submit(requests)
    found: list[Completion] = []
    while len(found) < len(requests):
        found += engine.collect()
    assert len({each.id for each in found}) == len(found)
    return {each.id: each for each in found}


def test_vllm_gets_token_ids_and_returns_exact_spans() -> None:
    with serving(answer) as server:
        engine = engine_of(server)
        conversation = Conversation(
            ({"role": "user", "content": "Name a bird."},), opened="A bird:"
        )
        back = completions_of(engine, [request(1), request(2, conversation)])
        engine.close()
    assert engine.capabilities.score
    assert engine.capabilities.continues
    first = back["r1"]
    assert first.text == answer("Question 1 of many:")
    words = [first.text[s:e] for s, e in zip(first.token_starts, first.token_ends, strict=True)]
    assert words == ["answer", " to", f" {first.text.split()[-1]}"]
    assert first.token_ids == tuple(server.tokens(first.text))
    assert first.token_logprobs is not None
    assert first.num_prompt_tokens == 4
    assert first.num_output_tokens == 3
    assert first.prompt == "Question 1 of many:"
    seen = " <user> Name a bird. <assistant> A bird:"
    assert (back["r2"].prompt, back["r2"].text) == (seen, answer(seen))
    body = next(b for b in server.bodies if len(b["prompt"]) == 4)
    assert (body["min_p"], body["seed"], body["logprobs"]) == (0.05, 1, 0)


def test_a_thinking_part_that_the_template_opens_is_kept_apart() -> None:
    conversation = Conversation(({"role": "user", "content": "Add."},), opened="<think>")
    with serving(lambda _: "one and two make three </think> It is 3.") as server:
        engine = engine_of(server)
        back = completions_of(engine, [request(1, conversation)])
        engine.close()
    assert back["r1"].thinking == "one and two make three"
    assert back["r1"].text.strip() == "It is 3."


def test_vllm_scores_tokens_after_a_prompt() -> None:
    with serving(answer) as server:
        engine = engine_of(server)
        tokens = engine.encode(" Berlin and Rome")
        asked = [
            scoring_request("a", "The capitals are", tokens),
            scoring_request("b", "The capital is", tokens[:1]),
        ]
        back = completions_of(engine, asked)
        engine.close()
    long, short = (back[each.id] for each in asked)
    assert long.token_logprobs == (-1.0, -1.0, -1.0)
    assert long.text == " Berlin and Rome"
    assert short.token_logprobs == (-1.0,)
    assert long.num_output_tokens == 0


def test_any_other_server_gets_texts_and_conversations() -> None:
    with serving(answer, kind="plain") as server:
        engine = engine_of(server)
        chat = Conversation(({"role": "user", "content": "Name a bird."},))
        back = completions_of(engine, [request(1), request(2, chat)])
        engine.close()
    assert not engine.capabilities.score
    assert not engine.capabilities.continues
    assert back["r1"].text == answer("Question 1 of many:")
    assert back["r2"].text == answer(" <user> Name a bird. <assistant>")
    assert back["r2"].prompt is None
    for each in back.values():
        assert each.token_ids == ()
        assert each.num_output_tokens == 3
        assert each.token_logprobs is not None
        assert len(each.token_starts) == len(each.token_logprobs) == 3


def test_a_server_is_asked_for_what_it_can() -> None:
    refuses = ("min_p", "logprobs")
    with serving(answer, kind="plain", chat_only=True, refuses=refuses) as server:
        engine = engine_of(server)
        chat = Conversation(({"role": "user", "content": "Name a bird."},))
        back = completions_of(engine, [request(1, chat)])
        engine.close()
    assert not engine.capabilities.texts
    assert not engine.capabilities.logprobs
    assert engine.capabilities.seeded
    assert back["r1"].error is None
    assert back["r1"].token_logprobs is None


def test_every_request_ends_once_under_faults() -> None:
    with serving(answer, faults=0.2) as server:
        engine = engine_of(server)
        requests = [request(number) for number in range(2000)]
        back = completions_of(engine, requests)
        engine.close()
    assert len(back) == 2000
    failed = [each for each in back.values() if each.error is not None]
    for each in back.values():
        if each.error is None:
            assert each.text == answer(f"Question {each.id[1:]} of many:")
    # Six tries of which each fails with 4 in 35 (busy, slow and disconnect are no tries).
    assert len(failed) <= 3
    assert server.given["answered"] >= 2000 - len(failed)
    assert min(server.given[fault] for fault in ("busy", "error", "half", "nonsense")) > 20


def test_what_a_server_refuses_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answer) as server:
        engine = engine_of(server)
        server.refuses = ("presence_penalty",)
        back = completions_of(engine, [request(1)])
        engine.close()
    assert "unknown field presence_penalty" in str(back["r1"].error)


def test_a_wrong_key_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answer) as server:
        engine = engine_of(server)
        server.model, server.chat_only = "other", True  # every /completions is a 404 now
        engine.submit([request(1)])
        with pytest.raises(ConfigError, match="check the address"):
            engine.collect()
        engine.close()


def test_a_server_that_comes_back_loses_nothing() -> None:
    with serving(answer) as server:
        port = server.server_address[1]
        engine = engine_of(server)
        assert completions_of(engine, [request(0)])["r0"].error is None
    requests = [request(number) for number in range(1, 50)]
    engine.submit(requests)
    time.sleep(1.5)
    with serving(answer, port=port) as again:
        again.tokens("Question of many: answer to")
        found: list[Completion] = []
        while len(found) < len(requests):
            found += engine.collect()
        engine.close()
    assert {each.id for each in found} == {each.id for each in requests}
    assert all(each.error is None for each in found)


def test_no_server_for_too_long_ends_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", http_servers.Patience(outage=0.5))
    with serving(answer) as server:
        engine = engine_of(server)
    engine.submit([request(1)])
    with pytest.raises(EngineError, match="is the server running"):
        engine.collect()
    engine.close()


def test_two_servers_share_the_work_and_one_may_die() -> None:
    with serving(answer) as first:
        thread_done = threading.Event()
        with serving(answer) as second:
            engine = engine_of(first, second, max_num_seqs=8)
            completions_of(engine, [request(number) for number in range(200)])
            shares = [len(server.bodies) for server in (first, second)]
            assert min(shares) > 30
            thread_done.set()
        back = completions_of(engine, [request(number) for number in range(200, 400)])
        engine.close()
    assert all(each.error is None for each in back.values())
    assert first.most_in_flight <= 8


def test_prompts_are_split_while_a_server_is_full_from_the_start() -> None:
    go = threading.Event()

    def late(prompt: str) -> str:
        go.wait(20)
        return answer(prompt)

    with serving(late) as server:
        engine = engine_of(server, max_num_seqs=40)
        engine.submit([request(number) for number in range(50)])
        until = time.monotonic() + 10
        while server.in_flight < 40 and time.monotonic() < until:
            time.sleep(0.01)
        assert server.in_flight == 40, "as many as the user says, before any answer"
        assert len(engine.encode("two words")) == 2, "though every place is taken"
        go.set()
        back: list[Completion] = []
        while len(back) < 50:
            back += engine.collect()
        engine.close()
    assert server.most_in_flight == 40


def test_the_same_beginning_goes_to_the_same_server() -> None:
    with serving(answer) as first, serving(answer) as second:
        engine = engine_of(first, second)
        for number in range(12):
            prompt = ("x " * 600) + f"end {number}"
            completions_of(engine, [request(number, prompt)])
        engine.close()
    assert sorted(len(server.bodies) for server in (first, second)) == [0, 12]


def test_an_aborted_request_does_not_come_back() -> None:
    with serving(answer) as server:
        engine = engine_of(server)
        engine.submit([request(1), request(2)])
        engine.abort(["r1"])
        assert [each.id for each in engine.collect()] == ["r2"]
        engine.close()


def test_the_identity_is_what_the_server_tells() -> None:
    with serving(answer) as first, serving(answer, model="other") as second:
        model = resolve_endpoint(f"{first.url}#toy")
        again = resolve_endpoint("toy", [first.url])
        other = resolve_endpoint("other", [second.url])
        with pytest.raises(ConfigError, match="serves toy, not 'bird'"):
            resolve_endpoint(f"{first.url}#bird")
    assert model.digest == again.digest != other.digest
    assert model.name == f"{first.url}#toy"
    assert again.endpoint is not None
    assert again.endpoint.server == "vllm 0.32.0"
    assert model.context_length == 4096
    with pytest.raises(ConfigError, match="no server answers"):
        resolve_endpoint("toy", [first.url])


def test_an_address_is_split_into_name_and_servers() -> None:
    values = with_endpoint({"model": {"name": "http://h:1/v1/#toy"}, "stop": {"target": 3}})
    assert values == {
        "model": {"name": "toy"},
        "engine": {"name": "openai", "base_url": ["http://h:1/v1"]},
        "stop": {"target": 3},
    }
    assert with_endpoint({"model": {"name": "bundled"}}) == {"model": {"name": "bundled"}}


def test_numbers_that_are_none_are_no_scores() -> None:
    from selfinstruct.filters.likelihood import score_span

    asked = request(1)
    completion = Completion(asked, "a b", (1, 2), (-1.0, math.nan), (0, 1), (1, 3), "stop", 1)
    score = score_span(completion, 0, 3)
    assert score.unscored_reason == "logprob_not_finite"
    assert math.isnan(score.mean_logprob)
    assert score_span(completion, 0, 1).mean_logprob == -1.0


def test_vllm_writes_a_users_turn() -> None:
    asked = Conversation(({"role": "system", "content": "Be brief."},), as_user=True)
    with serving(answer) as server:
        engine = engine_of(server)
        back = completions_of(engine, [request(1, asked)])
        rendered = engine.render(asked)
        engine.close()
    assert back["r1"].prompt is not None
    assert back["r1"].prompt.split() == ["<system>", "Be", "brief.", "<user>"]
    assert rendered.split() == back["r1"].prompt.split()


def test_another_server_does_not_tell_where_a_users_turn_begins() -> None:
    with serving(answer, kind="plain") as server:
        engine = engine_of(server)
        with pytest.raises(ConfigError, match="does not tell its chat template, which --style"):
            engine.render(Conversation((), as_user=True))
        engine.close()
