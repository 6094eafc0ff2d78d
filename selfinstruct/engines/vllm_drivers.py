"""Two ways to run vLLM: stepped in a thread of this process, or in a process of its own.

Both take (id, token ids, sampling arguments) at any time, and return outputs as they finish. A
request that vLLM refuses comes back as `Failed`; the others go on. `next_output` raises an error of
the engine, and one if it hangs: in this process it must finish a step, in a process of its own a
request, within the seconds of `patience`.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from selfinstruct.common.errors import EngineError, why

ENGINE_THREAD = "vllm-engine"  # cli.main looks for this name
# Seconds that a closed engine has for its last step, and one that is closed by Ctrl-C.
_CLOSE_SECONDS, _INTERRUPTED_SECONDS = 30.0, 0.3
Item = tuple[str, list[int], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands for the output of a request that failed for itself, while the engine works on."""

    request_id: str
    error: str


class Driver(Protocol):
    """The interface that the engine uses."""

    def start(self, arguments: dict[str, Any]) -> None:
        """Load the model with vLLM's engine arguments; vLLM's errors pass through."""

    def submit(self, batch: Sequence[Item]) -> None:
        """Add requests."""

    def put(self, failed: Failed) -> None:
        """Return a request that was never submitted as the next output."""

    def abort(self, ids: Sequence[str]) -> None:
        """Drop requests."""

    def next_output(self, *, block: bool = True) -> Any:
        """Return a finished RequestOutput, or `Failed`.

        Without `block`, raise queue.Empty if there is none.
        """

    def close(self) -> None:
        """Stop the engine."""


class _Outbox:
    """Finished outputs, and the error that came last, if any.

    Args:
        patience: seconds without a sign of life after which the engine counts as hanging; None:
            wait for ever.
    """

    def __init__(self, patience: float | None) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()
        self._patience = patience
        self._last_sign = 0.0

    def put(self, item: Any) -> None:
        self._queue.put(item)
        self.sign()

    def sign(self) -> None:
        """Note that the engine works."""
        self._last_sign = time.monotonic()

    def get(self, *, block: bool) -> Any:
        item = self._wait() if block else self._queue.get(block=False)
        if isinstance(item, BaseException):
            self._queue.put(item)  # for the next call
            raise EngineError(f"the engine died: {why(item)}") from item
        return item

    def _wait(self) -> Any:
        """Return the next item; an error if none comes and the engine gives no sign of life."""
        since = time.monotonic()
        while True:
            left = None
            if self._patience is not None:
                left = max(since, self._last_sign) + self._patience - time.monotonic()
                if left <= 0:
                    return TimeoutError(
                        f"it gave no sign of life for {self._patience / 60:g} minutes although "
                        "requests are in flight; what is committed is safe. Look for another "
                        "process on its device, and continue the run; engine.patience_minutes "
                        "sets how long to wait"
                    )
            try:
                return self._queue.get(timeout=left)
            except queue.Empty:
                continue


class InProcessDriver:
    """`LLMEngine` in a thread that loads and steps it.

    One thread must do both, since vLLM's OpenMP settings are made while loading and belong to the
    thread.
    """

    def __init__(self, patience: float | None = None) -> None:
        self._inbox: queue.Queue[Callable[[Any], None] | None] = queue.Queue()
        self._outbox = _Outbox(patience)
        self._ready: queue.Queue[BaseException | None] = queue.Queue()
        self._loading = False
        self._thread: threading.Thread | None = None

    def start(self, arguments: dict[str, Any]) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(arguments,), name=ENGINE_THREAD, daemon=True
        )
        self._loading = True
        self._thread.start()
        error = self._ready.get()
        self._loading = False
        if error is not None:
            raise error

    def submit(self, batch: Sequence[Item]) -> None:
        self._inbox.put(lambda engine: self._add(engine, batch))

    def put(self, failed: Failed) -> None:
        self._outbox.put(failed)

    def abort(self, ids: Sequence[str]) -> None:
        self._inbox.put(lambda engine: engine.abort_request(list(ids)))

    def next_output(self, *, block: bool = True) -> Any:
        return self._outbox.get(block=block)

    def close(self) -> None:
        self._inbox.put(None)
        # A thread that is interrupted while it loads cannot be stopped from here, and whoever
        # presses Ctrl-C does not wait for a step of many seconds: the process ends without the
        # thread (see `cli.main`).
        is_interrupted = isinstance(sys.exception(), KeyboardInterrupt)
        if self._thread is not None and not self._loading:
            self._thread.join(timeout=_INTERRUPTED_SECONDS if is_interrupted else _CLOSE_SECONDS)

    def _run(self, arguments: dict[str, Any]) -> None:
        try:
            from vllm import EngineArgs
            from vllm.v1.engine.llm_engine import LLMEngine

            engine = LLMEngine.from_engine_args(EngineArgs(**arguments))
        except BaseException as error:  # noqa: BLE001 - raised again in `start`
            self._ready.put(error)
            return
        self._ready.put(None)
        try:
            while self._take_orders(engine):
                for output in engine.step():
                    if output.finished:
                        self._outbox.put(output)
                self._outbox.sign()
        except BaseException as error:  # noqa: BLE001 - raised again in `next_output`
            self._outbox.put(error)

    def _take_orders(self, engine: Any) -> bool:
        """Run the waiting orders; wait for one if there is nothing to step. False means stop."""
        block = not engine.has_unfinished_requests()
        while True:
            try:
                order = self._inbox.get(block=block)
            except queue.Empty:
                return True
            if order is None:
                return False
            order(engine)
            block = not engine.has_unfinished_requests()

    def _add(self, engine: Any, batch: Sequence[Item]) -> None:
        for name, ids, arguments in batch:
            try:
                engine.add_request(name, *_vllm_request(ids, arguments))
            except (ValueError, TypeError) as error:  # what vLLM finds wrong with a request
                self._outbox.put(Failed(name, why(error)))


class AsyncDriver:
    """`AsyncLLM` in a process of its own, fed from an event loop in a thread here."""

    def __init__(self, patience: float | None = None) -> None:
        self._outbox = _Outbox(patience)
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._engine: Any = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)

    def start(self, arguments: dict[str, Any]) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._load(arguments), self._loop).result()

    def submit(self, batch: Sequence[Item]) -> None:
        self._loop.call_soon_threadsafe(self._add, batch)

    def put(self, failed: Failed) -> None:
        self._outbox.put(failed)

    def abort(self, ids: Sequence[str]) -> None:
        def cancel() -> None:
            for name in ids:
                task = self._tasks.pop(name, None)
                if task is not None:
                    task.cancel()  # vLLM aborts the request of a cancelled generator

        self._loop.call_soon_threadsafe(cancel)

    def next_output(self, *, block: bool = True) -> Any:
        return self._outbox.get(block=block)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)

    async def _load(self, arguments: dict[str, Any]) -> None:
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))

    def _add(self, batch: Sequence[Item]) -> None:
        for item in batch:
            self._tasks[item[0]] = self._loop.create_task(self._generate(*item))

    async def _generate(self, name: str, ids: list[int], arguments: dict[str, Any]) -> None:
        try:
            prompt, params = _vllm_request(ids, arguments)
            async for output in self._engine.generate(prompt, params, name):
                if output.finished:
                    self._outbox.put(output)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - raised again in `next_output`
            alone = _is_its_own(error) and not self._engine.errored
            self._outbox.put(Failed(name, why(error)) if alone else error)
        finally:
            self._tasks.pop(name, None)


def _is_its_own(error: Exception) -> bool:
    """Whether an error is of one request: vLLM refuses it, or could not finish it."""
    from vllm.v1.engine.exceptions import EngineGenerateError

    return isinstance(error, (EngineGenerateError, ValueError, TypeError))


def _vllm_request(ids: list[int], arguments: dict[str, Any]) -> tuple[Any, Any]:
    """Return vLLM's prompt and sampling parameters; only finished outputs are returned."""
    from vllm import SamplingParams, TokensPrompt
    from vllm.sampling_params import RequestOutputKind

    params = SamplingParams(**arguments, output_kind=RequestOutputKind.FINAL_ONLY)
    return TokensPrompt(prompt_token_ids=ids), params
