"""Run a model in a process of its own, so that its memory is free afterwards.

An engine such as in-process vLLM leaves threads, device memory and distributed state behind:
two models one after the other want two processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from selfinstruct.common.errors import EngineError, SelfInstructError
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.base import Engine
from selfinstruct.engines.registry import EngineKind

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Advance = Callable[[int, int], object]

# What the other process may take to tidy up after its answers.
_TIDY_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """Which model to load, and how. `model` is a name, a folder or a hub name."""

    model: str
    dtype: str = "auto"


class Work(Protocol[T_co]):
    """What is done with an engine that is not started, telling `advance` of progress."""

    def __call__(self, engine: Engine, *, advance: Advance) -> T_co: ...


def with_engine(loaded: Loaded, work: Work[T], advance: Advance, *, kind: EngineKind) -> T:
    """Have `work` done with an engine in another process, and return what it returns.

    Args:
        loaded: the model.
        work: a function of a module, or a `partial` of one, with arguments that can be pickled.
        advance: told (requests done, of how many).
        kind: the engine. The record itself goes to the other process, whose list of engines may
            lack what was added to ours.

    Raises:
        ConfigError: the engine's packages are missing, or the model cannot be used.
        EngineError: the engine failed, or its process died.
    """
    kind.require()
    how = EngineConfig(name=kind.name)
    return apart(partial(_with_engine, kind, how, loaded, work), advance, loaded.model)


def apart(work: Callable[[Advance], T], advance: Advance, name: str) -> T:
    """Have `work` done in another process, and return what it returns.

    Args:
        work: as for `with_engine`; it is given what to tell of its progress.
        advance: told (done, of how many).
        name: of the model, for an error.

    Raises:
        SelfInstructError: as the work raised it.
        EngineError: the process died.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, work), daemon=False)
    process.start()
    theirs.close()
    try:
        while True:
            kind, told = ours.recv()
            if kind == "error":
                raise told
            if kind == "done":
                process.join(timeout=_TIDY_SECONDS)
                return told  # type: ignore[no-any-return]
            advance(*told)
    except EOFError:
        process.join()
        raise EngineError(
            f"the process that ran {name} died (exit code {process.exitcode}); "
            "its last words are above"
        ) from None
    finally:
        if process.is_alive():
            process.terminate()
        process.join()


def _with_engine(
    kind: EngineKind, how: EngineConfig, loaded: Loaded, work: Work[T], advance: Advance
) -> T:
    from selfinstruct.models import resolve_model

    model = resolve_model(loaded.model, lambda *_: None)
    config = ModelConfig.model_validate({"name": loaded.model, "dtype": loaded.dtype})
    engine = kind.build(model, config, how)
    try:
        return work(engine, advance=advance)
    finally:
        engine.close()


def _run(connection: Connection, work: Callable[[Advance], Any]) -> None:
    """Run in the other process."""
    try:
        found = work(lambda done, wanted: connection.send(("advance", (done, wanted))))
    except SelfInstructError as error:
        connection.send(("error", error))
    else:
        connection.send(("done", found))
    finally:
        connection.close()
