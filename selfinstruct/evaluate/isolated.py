"""Answer tasks in a process of its own, so that the model's memory is free afterwards.

In-process vLLM leaves threads, device memory and distributed state behind: two models one
after the other want two processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from selfinstruct.config import EngineConfig, ModelConfig
from selfinstruct.errors import EngineError, SelfInstructError
from selfinstruct.evaluate.answers import Answer, Shot, answer_tasks
from selfinstruct.evaluate.tasks import EvalTask

# What the other process may take to tidy up after its answers.
_TIDY_SECONDS = 20


@dataclass(frozen=True)
class Job:
    """What one model is asked. `model` is a name, a folder or a hub name."""

    model: str
    dtype: str
    tasks: Sequence[EvalTask]
    shots: Sequence[Shot]
    max_tokens: int


def answer_apart(job: Job, advance: Callable[[int, int], object]) -> list[Answer]:
    """Have the tasks answered by vLLM in another process.

    Raises:
        ConfigError: the model cannot be used.
        EngineError: the engine failed, or its process died.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, job), daemon=False)
    process.start()
    theirs.close()
    try:
        while True:
            told = ours.recv()
            if isinstance(told, SelfInstructError):
                raise told
            if isinstance(told, list):
                process.join(timeout=_TIDY_SECONDS)
                return told
            advance(*told)
    except EOFError:
        process.join()
        raise EngineError(
            f"the process that ran {job.model} died (exit code {process.exitcode}); "
            "its last words are above"
        ) from None
    finally:
        if process.is_alive():
            process.terminate()
        process.join()


def _work(connection: Connection, job: Job) -> None:
    """Run in the other process."""
    from selfinstruct.engines.vllm import VllmEngine
    from selfinstruct.models import resolve_model

    try:
        model = resolve_model(job.model, lambda *_: None)
        config = ModelConfig.model_validate({"name": job.model, "dtype": job.dtype})
        engine = VllmEngine(model, config, EngineConfig())
        try:
            answers = answer_tasks(
                engine,
                job.tasks,
                max_tokens=job.max_tokens,
                shots=job.shots,
                advance=lambda done, wanted: connection.send((done, wanted)),
            )
        finally:
            engine.close()
    except SelfInstructError as error:
        connection.send(error)
    else:
        connection.send(answers)
    finally:
        connection.close()
