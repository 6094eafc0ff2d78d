"""What is asked of Ray itself: to join a cluster, to start and end actors, to wait for them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from selfinstruct.common.errors import ConfigError, EngineError, SelfInstructError, why
from selfinstruct.common.records import LocalModel
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.ray_replica import Replica

_SECONDS = 10.0  # to reach a cluster
_THREADS = 4  # of an actor: one waits for completions while others take orders
_OWN_KEYS = {"address", "replicas", "gpus_per_replica"}


def join(address: str | None) -> bool:
    """Join the cluster at an address, or at RAY_ADDRESS, or start Ray on this machine alone.

    Returns:
        Whether this process was not in a cluster before, and has to leave it in the end.

    Raises:
        ConfigError: there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's own default is 15: beside other work, a replica would get next to no processor time.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None:
        _require_answer(address)
    own = {} if address else {"include_dashboard": False}
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _kept_sigterm():
        try:
            ray.init(address or "local", **quiet, **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"engine.address {address or 'on this machine'}: no Ray cluster there: "
                f"{why(error)}; start one with `ray start --head`, or leave --address out"
            ) from error
    return True


def _require_answer(address: str) -> None:
    """Raise ConfigError if nothing listens at `host:port`: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "//" in address or not port.isdigit():
        return  # `auto`, or another form that Ray reads
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"engine.address {address}: no Ray cluster there: {why(error)}; start one with "
            "`ray start --head`, or leave --address out"
        ) from error


def leave() -> None:
    """Leave the cluster; Ray that was started on this machine alone ends."""
    import ray

    ray.shutdown()


def resources(engine: EngineConfig) -> tuple[dict[str, float], int]:
    """Return what Ray keeps for each replica, and the number of replicas.

    Raises:
        ConfigError: the cluster has not that much.
    """
    import ray

    total = ray.cluster_resources()
    gpus, cpus = int(total.get("GPU", 0)), int(total.get("CPU", 1))
    if not gpus and engine.gpus_per_replica is None:
        count = engine.replicas or len(ray.nodes())
        return {"num_cpus": max(1, cpus // count)}, count
    each = engine.gpus_per_replica or 1
    count = engine.replicas or max(1, gpus // each)
    if count * each > gpus:
        raise ConfigError(
            f"the Ray cluster has {gpus} GPUs, and {count} replicas of {each} need "
            f"{count * each}; lower --replicas or --gpus-per-replica, or add machines"
        )
    return {"num_cpus": 1, "num_gpus": each}, count


def replica_maker(
    model: LocalModel, config: ModelConfig, engine: EngineConfig, kept: Mapping[str, float]
) -> Callable[[], Any]:
    """Return what starts a replica, on any machine with room.

    Args:
        model: the model.
        config: of the model.
        engine: the section of the config, of the engine `ray`.
        kept: what Ray keeps for it.
    """
    import ray

    gpus = int(kept.get("num_gpus", 0))
    options: dict[str, Any] = dict(engine.options)
    if gpus > 1:
        options.setdefault("tensor_parallel_size", gpus)
    section = engine.model_dump(exclude=_OWN_KEYS) | {"name": "vllm", "options": options}
    actor = ray.remote(Replica).options(
        **kept, max_concurrency=_THREADS, scheduling_strategy="SPREAD"
    )
    cores = 0 if gpus else int(kept["num_cpus"])
    return lambda: actor.remote(model, config, EngineConfig(**section), cores)


def result(reference: Any) -> Any:
    """Wait for what an actor returns.

    Raises:
        SelfInstructError: our own errors as they are; what Ray itself tells as EngineError.
    """
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SelfInstructError):
            raise error.cause from None
        raise EngineError(why(error.cause or error)) from error
    except ray.exceptions.RayError as error:
        # What follows the first sentence are addresses, and guesses at the cause.
        raise EngineError(why(error).partition(". ")[0]) from error


def kill(actor: Any) -> None:
    """End an actor, if it has not ended."""
    import ray

    if ray.is_initialized():
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.kill(actor)


@contextlib.contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces by its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
