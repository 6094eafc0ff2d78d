"""Runs whose completions come from servers over HTTP."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import selfinstruct as si
from selfinstruct.common.errors import ConfigError
from selfinstruct.labellers.reward import require_reward_model
from selfinstruct.models.endpoint import require_folder, resolve_endpoint
from selfinstruct.store import open_run
from selfinstruct.verdicts.replay import replay
from tests.conftest import SUBJECTS, VERBS
from tests.engines.http_server import FakeServer, serving


def answer(prompt: str) -> str:
    """Write as a model would that continues a list, names a kind, and works a task out."""
    draw = int(hashlib.sha256(prompt.encode()).hexdigest(), 16)
    if re.search(r"\n\d+\.\s*$", prompt):
        number = int(re.findall(r"\d+", prompt)[-1])
        items = []
        for place in range(5):
            words = " ".join(f"w{(draw >> (9 * place + k)) % 300}" for k in range(4))
            subject = SUBJECTS[(draw >> place) % len(SUBJECTS)]
            items.append(f"{VERBS[(draw >> place) % 8]} the {subject} {words}.")
        return " " + "\n".join(
            item if place == 0 else f"{number + place}. {item}" for place, item in enumerate(items)
        )
    if "what kind of answer" in prompt:
        return " text"
    text = f"It looked calm and {SUBJECTS[draw % len(SUBJECTS)]}-like."
    if prompt.endswith("Label:"):
        return " calm\nInput: a quiet day"
    return f"Output: {text}"


def generate(out: Path, seeds: Path, *servers: FakeServer, **options: Any) -> si.Run:
    settings = {"propose.per_round": 4, "likelihood.quantile": None, "likelihood.seed_bound": False}
    return si.generate(
        out,
        **{
            "model": "toy",
            "base_url": [server.url for server in servers],
            "seeds": seeds,
            "target": 12,
            "prompting": "base",
            "settings": settings,
            **options,
        },
    )


def differences(out: Path) -> int:
    return len(replay(open_run(out)))


def test_a_run_from_a_server_is_a_run(tmp_path: Path, seeds_file: Path) -> None:
    with serving(answer) as server:
        run = generate(tmp_path / "run", seeds_file, server)
    stored = open_run(tmp_path / "run")
    assert run.stop_reason == "target"
    assert stored.meta["model"]["name"] == "toy"
    assert stored.meta["model"]["server"] == "vllm 0.32.0"
    assert server.url not in str(stored.meta["fingerprint"])
    assert differences(tmp_path / "run") == 0
    completions = [c for round in stored.rounds() for c in stored.read_round(round).completions]
    assert all(c.token_ids and c.token_logprobs and c.prompt for c in completions)


def test_faults_cost_time_and_nothing_else(tmp_path: Path, seeds_file: Path) -> None:
    with serving(answer) as calm:
        generate(tmp_path / "calm", seeds_file, calm)
    with serving(answer, faults=0.2) as faulty:
        generate(tmp_path / "faulty", seeds_file, faulty)
    texts = []
    for name in ("calm", "faulty"):
        rows = open_run(tmp_path / name).read_round(0).completions
        assert all(c.error is None for c in rows)
        texts.append({c.id: c.text for c in rows})
    assert texts[0] == texts[1]


def test_another_model_is_refused_by_name(tmp_path: Path, seeds_file: Path) -> None:
    with serving(answer) as server:
        generate(tmp_path / "run", seeds_file, server)
    with serving(answer, model="other") as other, pytest.raises(ConfigError, match="serves other"):
        generate(tmp_path / "run", seeds_file, other, resume=True, target=14)
    with (
        serving(answer, kind="plain") as plain,
        pytest.raises(ConfigError, match="is not the one that this run was made with"),
    ):
        generate(tmp_path / "run", seeds_file, plain, resume=True, target=14)


def test_a_run_goes_on_at_another_address(tmp_path: Path, seeds_file: Path) -> None:
    with serving(answer) as server:
        generate(tmp_path / "run", seeds_file, server)
    with serving(answer) as moved:
        run = generate(tmp_path / "run", seeds_file, moved, resume=True, target=20)
    assert run.stop_reason == "target"
    assert differences(tmp_path / "run") == 0


def test_tokens_are_counted_by_the_server(tmp_path: Path, seeds_file: Path) -> None:
    with serving(answer, kind="plain") as server:
        run = generate(tmp_path / "run", seeds_file, server, target=1000, max_tokens=300)
    assert run.stop_reason == "max_tokens"
    rows = open_run(tmp_path / "run").read_round(0).completions
    assert all(c.token_ids == () and c.num_output_tokens > 0 for c in rows)
    assert differences(tmp_path / "run") == 0


def test_a_run_stops_at_its_cost(tmp_path: Path, seeds_file: Path) -> None:
    with serving(answer, kind="plain") as server:
        prices = {"price_in": 1.0, "price_out": 1_000.0, "max_cost": 0.3}
        run = generate(tmp_path / "run", seeds_file, server, target=1000, **prices)
    stored = open_run(tmp_path / "run")
    assert run.stop_reason == "max_cost"
    tokens = [stored.info(number)["tokens"] for number in stored.rounds()]
    costs = [each["prompt"] / 1e6 + each["generated"] / 1e3 for each in tokens]
    assert sum(costs) >= 0.3 > sum(costs[:-1])
    with serving(answer) as server, pytest.raises(ConfigError, match="max_cost needs prices"):
        generate(tmp_path / "other", seeds_file, server, max_cost=1.0)


def test_a_server_that_is_restarted_in_mid_run_needs_no_hand(
    tmp_path: Path, seeds_file: Path
) -> None:
    def slow(prompt: str) -> str:
        time.sleep(0.02)
        return answer(prompt)

    with serving(slow) as server:
        port, words = server.server_address[1], (server.vocabulary, server.words)
        results: list[si.Run] = []
        thread = threading.Thread(
            target=lambda: results.append(generate(tmp_path / "run", seeds_file, server, target=40))
        )
        thread.start()
        while server.given["answered"] < 10:
            time.sleep(0.02)
    time.sleep(1.0)
    with serving(slow, port=port) as again:
        again.vocabulary, again.words = words
        thread.join()
    assert results[0].stop_reason == "target"
    assert differences(tmp_path / "run") == 0


def test_a_model_at_an_address_is_not_trained_and_is_no_reward_model() -> None:
    with serving(answer) as server:
        model = resolve_endpoint(f"{server.url}#toy")
    for use in (require_folder, require_reward_model):
        with pytest.raises(ConfigError, match="give the folder of its weights"):
            use(model)
