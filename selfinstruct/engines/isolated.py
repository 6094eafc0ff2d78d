"""Run a model in a process of its own, so that its memory is free afterwards.

An engine such as in-process vLLM leaves threads, device memory and distributed state behind: two
models one after the other need two processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from selfinstruct.common.errors import EngineError, SelfInstructError
from selfinstruct.config import engine_options
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.base import Engine
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineKind, engine_kind
from selfinstruct.models.endpoint import is_endpoint

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Advance = Callable[[int, int], object]

# Time that the other process gets to clean up after its result.
_CLEANUP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """Which model to load, and how. `model` is a name, a folder or a hub name."""

    model: str
    dtype: str = "auto"


class Work(Protocol[T_co]):
    """Work with an engine that is not started yet; it reports its progress to `advance`."""

    def __call__(self, engine: Engine, *, advance: Advance) -> T_co: ...


def with_engine(loaded: Loaded, work: Work[T], advance: Advance, *, kind: EngineKind) -> T:
    """Run `work` with an engine in another process; return its result.

    Args:
        loaded: the model.
        work: a module's function, or a `partial` of one, with arguments that can be pickled.
        advance: called with (requests that are back, all requests).
        kind: the engine. The record itself goes to the other process, since an engine that was
            added to our list may be missing from its list.

    Raises:
        ConfigError: the engine's packages are missing, or the model cannot be used.
        EngineError: the engine failed, or its process died.
    """
    if is_endpoint(loaded.model):
        kind = engine_kind(engine_options.OPENAI.name)
    kind.require()
    engine_config = EngineConfig(name=kind.name)
    return apart(partial(_with_engine, kind, engine_config, loaded, work), advance, loaded.model)


def apart(work: Callable[[Advance], T], advance: Advance, name: str) -> T:
    """Run `work` in another process; return its result.

    Args:
        work: as for `with_engine`; its argument takes reports of progress.
        advance: called with (steps that are done, all steps).
        name: of the model, for errors.

    Raises:
        SelfInstructError: the work raised it.
        EngineError: the process died.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, work), daemon=False)
    process.start()
    theirs.close()
    try:
        while True:
            kind, content = ours.recv()
            if kind == "error":
                raise content
            if kind == "done":
                process.join(timeout=_CLEANUP_SECONDS)
                return content  # type: ignore[no-any-return]
            advance(*content)
    except EOFError:
        process.join()
        raise EngineError(
            f"the process that ran {name} died (exit code {process.exitcode}); "
            "its last output is above"
        ) from None
    finally:
        if process.is_alive():
            process.terminate()
        process.join()


def _with_engine(
    kind: EngineKind, engine_config: EngineConfig, loaded: Loaded, work: Work[T], advance: Advance
) -> T:
    from selfinstruct.models import resolve_model

    model = resolve_model(loaded.model, lambda *_: None)
    config = ModelConfig.model_validate({"name": loaded.model, "dtype": loaded.dtype})
    engine = kind.build(model, config, engine_config)
    with closing(engine):
        return work(engine, advance=advance)


def _run(connection: Connection, work: Callable[[Advance], Any]) -> None:
    """Do the work in the other process, and send its progress and result."""
    try:
        result = work(lambda *progress: connection.send(("advance", progress)))
    except SelfInstructError as error:
        connection.send(("error", error))
    else:
        connection.send(("done", result))
    finally:
        connection.close()
