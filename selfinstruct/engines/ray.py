"""Replicas of a model on the machines of a Ray cluster, behind the Engine protocol.

A replica is an actor that holds the engine `vllm` on the GPUs that Ray gives it. Requests go there
as they are, and whole completions come back, so spans and scores are those of one engine. Each
request has its own seed, so it does not matter which replica answers.

A replica that dies is replaced, on any machine with room, and its requests are asked again.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfinstruct.common.errors import ConfigError, EngineError, SelfInstructError, why
from selfinstruct.common.records import Completion, LocalModel, Prompt, Request
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines import ray_cluster
from selfinstruct.engines.balance import beginning_of, due
from selfinstruct.engines.base import ALL, EngineUsage, IdleClock
from selfinstruct.engines.vllm import VllmEngine

log = logging.getLogger(__name__)

# A request with which so many replicas died has failed.
_TRIES = 3
# A replica that dies so often without a completion in between is left out.
_MOST_DEATHS = 4
_PAUSE = 1.0  # seconds before the second replacement; twice as long before each further one
# Told by every replica; replicas that differ here would write a run of two minds.
_SAME = ("device", "dtype", "context_length")


@dataclass
class _Worker:
    """A replica as it is seen from here: its actor, and the requests that it has."""

    number: int
    actor: Any = None
    deaths: int = 0
    is_up: bool = False
    is_lost: bool = False
    node: str = ""
    requests: dict[str, Request] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"replica {self.number}"

    @property
    def in_flight(self) -> int:
        return len(self.requests)


class RayEngine:
    """The engine that asks replicas. Cheap to build; `start` joins the cluster and loads them.

    Raises:
        ConfigError: the model folder has no usable tokenizer, or a server runs the model.
    """

    capabilities = ALL

    def __init__(self, model: LocalModel, config: ModelConfig, engine: EngineConfig) -> None:
        if model.endpoint is not None:
            raise ConfigError(f"model {model.name!r}: is run by a server; leave --engine ray out")
        self._model, self._config, self._engine = model, config, engine
        # Never started: it splits and renders texts, as those of the replicas do.
        self._local = VllmEngine(model, config, engine)
        self._limit = self._local.context_length
        self._workers: list[_Worker] = []
        self._waiting: list[Request] = []
        self._deaths: Counter[str] = Counter()  # of replicas, by request
        self._told: dict[str, Any] = {}
        self._ready: queue.Queue[Completion | SelfInstructError] = queue.Queue()
        self._changed = threading.Condition()
        self._error: SelfInstructError | None = None
        self._closed = self._is_ours = False
        self._clock = IdleClock()

    @property
    def context_length(self) -> int:
        return self._limit

    @property
    def at_once(self) -> int:
        return self._local.at_once * max(1, len(self._workers), self._engine.replicas or 0)

    @property
    def has_chat_template(self) -> bool:
        return self._local.has_chat_template

    def encode(self, text: str) -> list[int]:
        return self._local.encode(text)

    def render(self, prompt: Prompt) -> str:
        return self._local.render(prompt)

    def start(self, context_length: int) -> None:
        """Load the replicas; return once one of them is up. The others join when they are.

        Raises:
            ConfigError: there is no such cluster, it is too small, or vLLM refuses its options.
            EngineError: no replica could be loaded.
        """
        self._limit = min(context_length, self._limit)
        self._is_ours = ray_cluster.join(self._engine.address)
        kept, count = ray_cluster.resources(self._engine)
        self._start_replica = ray_cluster.replica_maker(
            self._model, self._config, self._engine, kept
        )
        self._workers = [_Worker(number) for number in range(count)]
        for worker in self._workers:
            threading.Thread(
                target=self._tend, args=(worker,), name=worker.name, daemon=True
            ).start()
        with self._changed:
            self._changed.wait_for(lambda: self._error or any(w.is_up for w in self._workers))
        if self._error is not None:
            raise self._error
        self._clock = IdleClock()

    def submit(self, requests: Sequence[Request]) -> None:
        self._clock.submitted(len(requests))
        self._send(requests)

    def collect(self) -> list[Completion]:
        results = [self._ready.get()]
        while not self._ready.empty():
            results.append(self._ready.get_nowait())
        completions = []
        for result in results:
            if isinstance(result, SelfInstructError):
                self._ready.put(result)  # for the next call
                raise result
            completions.append(result)
        self._clock.finished(len(completions))
        return completions

    def abort(self, ids: Sequence[str]) -> None:
        dropped = set(ids)
        orders = []
        count = 0
        with self._changed:
            count += sum(request.id in dropped for request in self._waiting)
            self._waiting = [request for request in self._waiting if request.id not in dropped]
            for worker in self._workers:
                own = [id for id in dropped if worker.requests.pop(id, None) is not None]
                if own and worker.is_up:
                    orders.append((worker.actor, own))
                count += len(own)
        for actor, own in orders:
            actor.abort.remote(own)
        self._clock.finished(count + self._forget(dropped))

    def settings(self) -> Mapping[str, Any]:
        """Return what the replicas told, and how many there are on how many machines."""
        with self._changed:
            nodes = {worker.node for worker in self._workers if worker.is_up}
            return {
                **self._told,
                "driver": "ray",
                "replicas": len(self._workers),
                "machines": len(nodes),
            }

    def usage(self) -> EngineUsage:
        return self._clock.usage()

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            actors = [worker.actor for worker in self._workers if worker.actor is not None]
        for actor in actors:
            ray_cluster.kill(actor)
        if self._is_ours:
            ray_cluster.leave()

    def _tend(self, worker: _Worker) -> None:
        """Load a replica and take its completions; replace it each time that it dies."""
        while not self._closed:
            try:
                self._load(worker)
                self._take_completions(worker)
            except EngineError as error:
                if self._closed or not self._replaceable(worker, error):
                    return
            except SelfInstructError as error:
                self._stop(error)
                return
            except Exception as error:  # noqa: BLE001 (a bug must not leave the loop waiting)
                self._stop(EngineError(f"{worker.name}: {why(error)}"))
                return

    def _load(self, worker: _Worker) -> None:
        """Start a replica, on whatever machine has room, and give it what waits.

        Raises:
            ConfigError: it differs from the others, or vLLM refuses its options.
            EngineError: it died.
        """
        worker.actor = self._start_replica()
        told = ray_cluster.result(worker.actor.start.remote(self._limit))
        with self._changed:
            worker.node = told.pop("node")
            self._told = self._told or told
            for key in _SAME:
                if told[key] != self._told[key]:
                    raise ConfigError(
                        f"{worker.name} on {worker.node}: {key} is {told[key]}, and that of the "
                        f"others {self._told[key]}; set model.dtype, or use machines of one kind"
                    )
            worker.is_up = True
            waiting, self._waiting = self._waiting, []
            self._changed.notify_all()
        self._send(waiting)

    def _take_completions(self, worker: _Worker) -> None:
        while True:
            completions = ray_cluster.result(worker.actor.collect.remote())
            with self._changed:
                worker.deaths = 0
                own = [c for c in completions if worker.requests.pop(c.id, None) is not None]
            for completion in own:
                self._ready.put(completion)

    def _replaceable(self, worker: _Worker, error: EngineError) -> bool:
        """Give the requests of a dead replica to others; tell whether to start another one."""
        with self._changed:
            was_up, worker.is_up = worker.is_up, False
            orphans, worker.requests = list(worker.requests.values()), {}
            worker.deaths += 1
            worker.is_lost = worker.deaths >= _MOST_DEATHS
            others = [w for w in self._workers if not w.is_lost]
        log.warning(
            "%s %s: %s%s",
            worker.name,
            f"on {worker.node} died" if was_up else "could not be loaded",
            why(error),
            f"; {len(orphans)} requests are asked again" if orphans else "",
        )
        ray_cluster.kill(worker.actor)
        if not others:
            self._stop(EngineError(f"no replica is left: {why(error)}"))
            return False
        self._send([request for request in orphans if not self._spent(request, error)])
        if worker.is_lost:
            log.warning("%s is left out: it died %d times", worker.name, worker.deaths)
            return False
        with self._changed:  # a replica that was killed once is replaced at once
            pause = 0.0 if worker.deaths < 2 else _PAUSE * 2 ** (worker.deaths - 2)
            self._changed.wait_for(lambda: self._closed, pause)
        return True

    def _spent(self, request: Request, error: EngineError) -> bool:
        """Whether a request has seen too many replicas die; it is returned as failed then."""
        with self._changed:
            self._deaths[request.id] += 1
            if self._deaths[request.id] < _TRIES:
                return False
        message = f"{_TRIES} replicas died with it: {why(error)}"
        self._ready.put(Completion(request, "", (), None, (), (), "error", 0, error=message))
        return True

    def _send(self, requests: Sequence[Request]) -> None:
        """Hand requests to replicas; without one they wait."""
        batches: dict[int, list[Request]] = {}
        with self._changed:
            up = [worker for worker in self._workers if worker.is_up]
            for request in requests:
                worker = due(up, up, beginning_of(request.prompt))
                if worker is None:
                    self._waiting.append(request)
                    continue
                worker.requests[request.id] = request
                batches.setdefault(worker.number, []).append(request)
            # A replica that dies from here on has them, so they are asked again.
            orders = [(self._workers[number].actor, batch) for number, batch in batches.items()]
        for actor, batch in orders:
            actor.submit.remote(batch)

    def _stop(self, error: SelfInstructError) -> None:
        with self._changed:
            if self._closed or self._error is not None:
                return
            self._error = error
            self._changed.notify_all()
        self._ready.put(error)

    def _forget(self, dropped: set[str]) -> int:
        """Remove completions that are ready and not wanted; return their number."""
        kept, count = [], 0
        while not self._ready.empty():
            result = self._ready.get_nowait()
            if isinstance(result, Completion) and result.id in dropped:
                count += 1
            else:
                kept.append(result)
        for result in kept:
            self._ready.put(result)
        return count
