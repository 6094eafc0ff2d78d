"""What becomes of an engine that fails: the error reaches whoever waits for a completion."""

from __future__ import annotations

import queue
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from selfinstruct.common.errors import EngineError
from selfinstruct.engines.vllm_drivers import ENGINE_THREAD, InProcessDriver, _Outbox


class DyingEngine:
    """Stands for vLLM's LLMEngine: finishes two requests, then its step raises."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.done = 0

    @classmethod
    def from_engine_args(cls, arguments: dict[str, Any]) -> DyingEngine:
        if "refuse" in arguments:
            raise ValueError("unknown option")
        return cls()

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting)

    def add_request(self, name: str, prompt: Any, params: Any) -> None:
        self.waiting.append(name)

    def abort_request(self, names: list[str]) -> None:
        self.waiting = [name for name in self.waiting if name not in names]

    def step(self) -> list[Any]:
        if self.done == 2:
            raise RuntimeError("CPU Generator does not use offset")
        self.done += 1
        return [SimpleNamespace(request_id=self.waiting.pop(0), finished=True)]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> InProcessDriver:
    anything = SimpleNamespace(FINAL_ONLY=None)
    vllm = SimpleNamespace(
        EngineArgs=lambda **arguments: arguments, SamplingParams=dict, TokensPrompt=dict
    )
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    for name, module in {
        "vllm.v1.engine.llm_engine": SimpleNamespace(LLMEngine=DyingEngine),
        "vllm.sampling_params": SimpleNamespace(RequestOutputKind=anything),
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    return InProcessDriver()


def test_an_engine_that_dies_says_so_to_everyone_who_asks(driver: InProcessDriver) -> None:
    driver.start({})
    driver.submit([(f"r{number}", [1, 2], {}) for number in range(4)])
    assert [driver.next_output().request_id for _ in range(2)] == ["r0", "r1"]
    for _ in range(2):  # and it does not hang the second time
        with pytest.raises(EngineError, match="CPU Generator does not use offset"):
            driver.next_output()
    driver.close()
    assert all(thread.name != ENGINE_THREAD for thread in threading.enumerate())


def test_an_engine_that_does_not_start_raises_its_own_error(driver: InProcessDriver) -> None:
    with pytest.raises(ValueError, match="unknown option"):
        driver.start({"refuse": True})
    driver.close()


def test_an_aborted_request_does_not_come_back(driver: InProcessDriver) -> None:
    driver.start({})
    driver.abort(["never submitted"])
    driver.submit([("kept", [1], {})])
    assert driver.next_output().request_id == "kept"
    with pytest.raises(queue.Empty):
        driver.next_output(block=False)
    driver.close()


class Stuck(DyingEngine):
    """Its first step never ends."""

    released = threading.Event()

    def step(self) -> list[Any]:
        self.released.wait(20)
        return []


class Slow(DyingEngine):
    """Each step takes a while, and a request takes many steps."""

    def step(self) -> list[Any]:
        time.sleep(0.05)
        self.done += 1
        if self.done < 12:
            return []
        return [SimpleNamespace(request_id=self.waiting.pop(0), finished=True)]


def driver_of(monkeypatch: pytest.MonkeyPatch, engine: type, patience: float) -> InProcessDriver:
    module = SimpleNamespace(LLMEngine=engine)
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.llm_engine", module)
    return InProcessDriver(patience)


@pytest.mark.usefixtures("driver")
def test_an_engine_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = driver_of(monkeypatch, Stuck, 0.2)
    driver.start({})
    driver.submit([("r0", [1], {})])
    try:
        with pytest.raises(EngineError, match=r"no sign of life for 0\.003.* minutes"):
            driver.next_output()
    finally:
        Stuck.released.set()
        driver.close()


@pytest.mark.usefixtures("driver")
def test_an_engine_that_takes_steps_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = driver_of(monkeypatch, Slow, 0.3)  # half of what the request takes
    driver.start({})
    driver.submit([("r0", [1], {})])
    assert driver.next_output().request_id == "r0"
    driver.close()


def test_waiting_for_ever() -> None:
    outbox = _Outbox(None)
    threading.Timer(0.1, outbox.put, ["late"]).start()
    assert outbox.get(block=True) == "late"
