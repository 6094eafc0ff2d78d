"""A plan from a small run: its interval holds what a larger run took, and it says what it lacks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.audit.growth import growth_of
from selfinstruct.audit.plan import plan
from selfinstruct.audit.yields import fit_yield
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Request, Stage
from selfinstruct.engines.scripted import Script
from selfinstruct.store import Run
from tests.conftest import draw

Generate = Callable[..., tuple[Run, str]]


def universe(tasks: int, *, heavy: bool = False) -> Script:
    """A model that knows so many tasks, all as likely, or the n-th with a weight of 1/n."""

    def which(request: Request, place: int) -> int:
        share = (draw(request, f"task{place}", 10**6) + 0.5) / 10**6
        return int((tasks + 1) ** share) - 1 if heavy else int(share * tasks)

    def script(request: Request) -> str:
        if request.stage is Stage.PROPOSE:
            first = len(request.parents) + 1
            # No two of them share a word but the first.
            texts = [
                "Explain " + " ".join(f"n{which(request, place)}x{part}" for part in range(6))
                for place in range(5)
            ]
            later = [f"{first + n}. {text}" for n, text in enumerate(texts[1:], start=1)]
            return "\n".join([f" {texts[0]}", *later])
        if request.stage is Stage.CLASSIFY:
            return " text"
        return f"Output: It is calm at the {request.id}."

    return script


def grown(generate: Generate, path: Path, script: Script, target: int) -> Run:
    run, _ = generate(path, script, stop__target=target, propose__per_round=16)
    return run


@pytest.mark.parametrize(
    ("script", "target"),
    [(universe(1000), 600), (universe(4000), 1200), (universe(20000, heavy=True), 600)],
    ids=["few tasks", "many tasks", "unequal tasks"],
)
def test_a_plan_from_the_first_third_holds_what_came(
    script: Script, target: int, tmp_path: Path, generate: Generate
) -> None:
    run = grown(generate, tmp_path / "run", script, target)
    third = max(5, len(run.rounds()) // 3)
    result = plan(run, target, rounds=third)
    assert result.tasks < target / 2 + 100
    for estimate in (result.candidates, result.requests, result.generated_tokens):
        assert estimate.actual is not None
        assert estimate.low <= estimate.actual <= estimate.high
        assert estimate.so_far < estimate.low
    # It is an interval, not all numbers: without a falling yield it would be too low.
    assert result.candidates.high < 4 * result.candidates.actual
    early = sum(one.candidates for one in growth_of(run)[:third])
    assert result.candidates.actual > 1.1 * early * target / result.tasks


def test_more_rounds_make_the_interval_smaller(tmp_path: Path, generate: Generate) -> None:
    run = grown(generate, tmp_path / "run", universe(3000), 1500)
    rounds = len(run.rounds())

    def width(of: int) -> float:
        result = plan(run, 2000, rounds=of)
        return math.log(result.candidates.high / result.candidates.low)

    assert width(rounds) < width(rounds // 3)


def test_a_pool_that_ends_is_not_planned_beyond(tmp_path: Path, generate: Generate) -> None:
    run = grown(generate, tmp_path / "run", universe(400), 330)
    result = plan(run, 5000)
    assert result.candidates.high == math.inf
    assert result.stops > 0.9
    assert result.stops_at is not None
    assert result.stops_at[0] < 420
    assert any("guess" in note for note in result.notes)


def test_a_share_that_does_not_fall_is_told_apart_from_one_that_does() -> None:
    pools = [200.0 + 60 * number for number in range(60)]
    steady = fit_yield(pools, [100] * 60, [60] * 60)
    falling = fit_yield(pools, [100] * 60, [round(100 * (pools[0] / p) ** 0.5) for p in pools])
    assert steady.fall.mean() < 0.05
    assert abs(falling.fall.mean() - 0.5) < 0.1
    assert abs(falling.shares([pools[-1]])[:, 0].mean() - 0.229) < 0.02  # (200 / 3740) ** 0.5


def test_counts_are_those_of_the_run(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=40)
    growth = growth_of(run)
    assert [one.number for one in growth] == run.rounds()
    assert growth[0].pool == 12  # its seeds
    for one in growth:
        info, completions = run.info(one.number), run.completions(one.number)
        assert one.candidates == len(run.instructions(one.number))
        assert one.counted == info["tasks"]
        assert one.proposals.requests == 4
        assert one.proposals.requests + one.instances.requests == len(completions)
        written = one.proposals.generated_tokens + one.instances.generated_tokens
        assert written == info["tokens"]["generated"]
        files = sum(path.stat().st_size for path in run.round_path(one.number).iterdir())
        assert one.proposal_bytes + one.novel_bytes == files


def test_speed_and_prices_scale_hours_and_cost(tmp_path: Path, generate: Generate) -> None:
    run = grown(generate, tmp_path / "run", universe(3000), 500)
    slow = plan(run, 800, tokens_per_second=10.0, price_in=1.0, price_out=2.0)
    assert slow.hours is not None
    assert slow.cost is not None
    assert slow.hours.likely == pytest.approx(slow.generated_tokens.likely / 36000)
    million = slow.prompt_tokens.so_far + 2 * slow.generated_tokens.so_far
    assert slow.cost.so_far == pytest.approx(million / 1e6)
    assert plan(run, 800).cost is None


def test_what_cannot_be_planned_is_refused(tmp_path: Path, generate: Generate) -> None:
    short, _ = generate(tmp_path / "short", stop__target=100, stop__max_rounds=3)
    with pytest.raises(ConfigError, match=r"3 rounds.*too few to plan from.*--resume"):
        plan(short, 1000)
    run = grown(generate, tmp_path / "run", universe(3000), 500)
    with pytest.raises(ConfigError, match=r"--target 500: .* has 500 tasks; give a higher"):
        plan(run, 500)
    with pytest.raises(ConfigError, match=r"--rounds 900: .* give a number from 5 to"):
        plan(run, 900, rounds=900)


def test_the_command(
    tmp_path: Path, generate: Generate, capsys: pytest.CaptureFixture[str]
) -> None:
    run = grown(generate, tmp_path / "run", universe(400), 330)
    picture = tmp_path / "plan.svg"
    call = ["plan", str(run.path), "--target", "5000", "--price-out", "0.5"]
    assert cli([*call, "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "330 tasks in" in shown
    assert "never" in shown
    assert "stop.min_yield" in shown
    assert picture.read_text("utf-8").startswith("<svg")
    assert "a guess from here on" in picture.read_text("utf-8")
    assert cli([*call, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["candidates"]["high"] is None
    assert data["cost"]["so_far"] > 0
    assert cli(["plan", str(run.path), "--target", "20"]) == 2
    assert cli(["plan", str(tmp_path), "--target", "20"]) == 2
