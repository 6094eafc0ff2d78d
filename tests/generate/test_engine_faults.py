"""An engine that misbehaves: what it returns is stored or told, and no error hides another."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.verify import verify_run
from selfinstruct.cli.app import run as cli
from selfinstruct.common import atomic
from selfinstruct.common.errors import ConfigError, EngineError, WriteError
from selfinstruct.common.records import Completion, Request
from selfinstruct.decisions.decide import drop
from selfinstruct.engines.base import ask_all
from selfinstruct.engines.kept import kept
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.engines.vllm_drivers import _Outbox
from selfinstruct.store import Run, open_run, run_lock
from selfinstruct.verdicts.replay import replay
from tests.conftest import varied_script

Generate = Callable[..., tuple[Run, str]]


class Changing(ScriptedEngine):
    """Changes every completion on its way."""

    def __init__(self, script: Any, change: Callable[[Completion], Completion]) -> None:
        super().__init__(script)
        self._change = change

    def collect(self) -> list[Completion]:
        return [self._change(completion) for completion in super().collect()]


def changing(change: Callable[[Completion], Completion]) -> dict[str, Any]:
    return {"kind": lambda script: Changing(script, change)}


def completions(run: Run) -> list[Completion]:
    return [completion for number in run.rounds() for completion in run.completions(number)]


def test_half_a_character_is_stored_as_the_replacement_character(
    tmp_path: Path, generate: Generate, caplog: pytest.LogCaptureFixture
) -> None:
    def halved(completion: Completion) -> Completion:
        text = completion.text.replace("the", "th\ud83d")
        return replace(completion, text=text, thinking="\udc00 so")

    with caplog.at_level(logging.WARNING):
        run, reason = generate(tmp_path / "run", engine=changing(halved), stop__max_rounds=3)
    assert reason in ("target", "max_rounds")
    texts = [completion.text for completion in completions(run)]
    assert any("th\ufffd" in text for text in texts)
    assert not any("\ud83d" in text for text in texts)
    assert {completion.thinking for completion in completions(run)} == {"\ufffd so"}
    assert "hold half a character, which is stored as U+FFFD" in caplog.text
    assert replay(run) == []
    assert verify_run(run).problems == []


@pytest.mark.parametrize("missing", ["logprobs", "ends"])
def test_too_few_log_probabilities_score_nothing(
    tmp_path: Path, generate: Generate, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    def short(completion: Completion) -> Completion:
        if missing == "ends":
            return replace(completion, token_ends=completion.token_ends[1:])
        return replace(completion, token_logprobs=(completion.token_logprobs or ())[:-1])

    with caplog.at_level(logging.WARNING):
        run, _ = generate(tmp_path / "run", engine=changing(short), stop__max_rounds=2)
    rows = [row for number in run.rounds() for row in run.instructions(number)]
    assert rows
    reasons = {row.unscored_reason for row in rows}
    assert reasons <= {"engine_gives_no_logprobs", "parse_failure"}
    assert "lack log-probabilities or places of some tokens" in caplog.text
    assert replay(run) == []


class Unclosable(ScriptedEngine):
    def close(self) -> None:
        raise RuntimeError("cannot free the device")


def test_a_run_whose_engine_does_not_close_is_finished(
    tmp_path: Path, generate: Generate, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run, reason = generate(tmp_path / "run", engine={"kind": Unclosable})
    assert reason == "target"
    assert run.status()["state"] == "stopped"
    assert "the engine did not stop cleanly (RuntimeError: cannot free the device)" in caplog.text


def test_an_engine_that_dies_and_does_not_close_tells_why_it_died(
    tmp_path: Path, generate: Generate
) -> None:
    with pytest.raises(EngineError, match="died after 40 completions"):
        generate(tmp_path / "run", engine={"kind": Unclosable, "die_after": 40}, stop__target=500)
    run = open_run(tmp_path / "run")
    assert run.status()["state"] == "failed"
    assert "died after 40" in run.status()["reason"]
    assert verify_run(run).problems == []


def test_an_engine_that_is_kept_hides_no_error() -> None:
    def work() -> None:
        with kept(lambda *_: Unclosable(str)) as make:
            make(None, None, None)  # type: ignore[arg-type]
            raise EngineError("first")

    with pytest.raises(EngineError, match="first"):
        work()


class Hanging(ScriptedEngine):
    """Returns a few completions, and then nothing, as a device that hangs."""

    def __init__(self, script: Any, after: int, patience: float | None = 0.05) -> None:
        super().__init__(script)
        self._left = after
        self._outbox = _Outbox(patience)

    def collect(self) -> list[Completion]:
        if self._left <= 0:
            self._outbox.get(block=True)
        self._left -= 1
        return super().collect()


def test_an_engine_that_hangs_ends_the_run_which_goes_on_later(
    tmp_path: Path, generate: Generate
) -> None:
    sound, _ = generate(tmp_path / "sound", stop__target=30)
    hanging = {"kind": lambda script: Hanging(script, 12)}
    with pytest.raises(EngineError, match=r"no sign of life for .* minutes although requests are"):
        generate(tmp_path / "run", stop__target=30, engine=hanging)
    run = open_run(tmp_path / "run")
    assert run.rounds() != []
    assert run.status()["state"] == "failed"
    assert "continue the run; engine.patience_minutes" in run.status()["reason"]
    assert verify_run(run).problems == []
    resumed, reason = generate(run.path, resume=True, stop__target=30)
    assert reason == "target"
    texts = [[(c.id, c.text) for c in completions(one)] for one in (sound, resumed)]
    assert texts[0] == texts[1]


def test_every_way_to_ask_gets_completions_that_can_be_stored() -> None:
    engine = Changing(lambda _: "one \ud800", lambda completion: completion)
    [completion] = ask_all(engine, [a_request()], lambda *_: None)
    assert completion.text == "one \ufffd"


def a_request() -> Request:
    from selfinstruct.engines.base import scoring_request

    return replace(scoring_request("r00000-p000-i00", "Write:", [1]), scored=None)


def test_a_disk_that_refuses_to_clean_up_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(path: Path, **_: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied", str(path))

    def work() -> None:
        with run_lock(tmp_path / "run"):
            monkeypatch.setattr(Path, "unlink", refused)
            with atomic.refusal(tmp_path / "run" / "run.yaml"):
                raise OSError(errno.ENOSPC, "No space left on device")

    with caplog.at_level(logging.WARNING), pytest.raises(WriteError, match="No space left"):
        work()
    assert "the beginnings of a run cannot be removed (Permission denied)" in caplog.text


def test_the_advice_of_a_full_disk_fits_every_command(tmp_path: Path) -> None:
    with pytest.raises(WriteError) as caught, atomic.refusal(tmp_path / "votes.jsonl"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "run the same command again, with --resume if it has that option" in str(caught.value)
    assert "generate" not in str(caught.value)


def test_a_note_with_half_a_character_is_refused(
    tmp_path: Path, generate: Generate, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = generate(tmp_path / "run")
    task = next(row for row in run.instructions(0) if row.verdict == "accepted")
    with pytest.raises(ConfigError, match="half a character"):
        drop(run, task.id, by="me", note="bad \udcff")
    assert cli(["audit", "drop", str(run.path), task.id, "--note", "bad \udcff"]) == 2
    assert "half a character" in capsys.readouterr().err
    assert not (run.path / "overrides.jsonl").exists()
    assert generate(tmp_path / "again", varied_script)[1] == "target"
