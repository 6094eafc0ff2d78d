"""A process that has imported vLLM and the trainers once, and forks for each command.

Importing them takes ten seconds and more of a core, for each command that loads a model. A fork
has all else of its own, as a process that was started has: arguments, folder, environment,
streams, memory and exit. Nothing but imports happens before the fork.
"""

from __future__ import annotations

import atexit
import importlib
import json
import multiprocessing
import os
import pickle
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

# What the commands import that load a model; with all that these import in their turn.
HEAVY = (
    "torch",
    "transformers.models.llama.modeling_llama",
    "transformers.models.llama.tokenization_llama",
    "transformers.generation.utils",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "peft",
    "vllm.v1.engine.llm_engine",
    "vllm.v1.engine.async_llm",
    "vllm.v1.worker.cpu_worker",
    "vllm.model_executor.models.llama",
)

FORKS = "SELFINSTRUCT_TEST_FORKS"  # set for the commands of a chain


def serve(path: str) -> None:
    """Fork for every connection, until whoever started this process is gone."""
    for name in HEAVY:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([listener, 0], [], [])
            if 0 in readable:
                os._exit(0)
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                watch(connection)
            connection.close()


def watch(connection: socket.socket) -> None:
    """Run what is asked for in a fork of this fork; tell its pid, and then its exit code.

    Killed with SIGKILL once nobody waits for it any more, as if it had been the client itself.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    header, streams, _, _ = socket.recv_fds(connection, 8, 3)
    body = connection.makefile("rb").read(int.from_bytes(header))
    pid = os.fork()
    if pid == 0:
        connection.close()
        leave(run(json.loads(body), streams))
    connection.sendall(f"{pid}\n".encode())
    ended = os.pidfd_open(pid)
    readable, _, _ = select.select([ended, connection], [], [])
    if ended not in readable:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if ended in readable:
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


class Forks:
    """Stands for `multiprocessing` where the package has a model loaded by another process.

    Forks, which imports nothing anew; of what can be pickled alone, as spawning demands.
    """

    def get_context(self, method: str) -> Forks:
        assert method == "spawn"
        self.context = multiprocessing.get_context("fork")
        self.Pipe = self.context.Pipe
        return self

    def Process(self, *, target: Any, args: tuple[Any, Any], daemon: bool) -> Any:  # noqa: N802
        connection, work = args
        work = pickle.loads(pickle.dumps(work))
        return self.context.Process(target=target, args=(connection, work), daemon=daemon)


def run(wanted: dict[str, Any], streams: list[int]) -> int:
    """Become the command, or the script; return its exit code."""
    import torch

    from selfinstruct.engines import isolated

    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    sys.executable = str(Path(sys.argv[1]).with_name("python"))  # for commands of the command
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    if FORKS in os.environ:
        isolated.multiprocessing = Forks()
    words = wanted["words"]
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is not None:  # read once, as torch is loaded
        torch.set_num_threads(int(threads))
    try:
        if words[0].endswith(".py"):
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
        else:
            from selfinstruct.cli import main

            sys.argv = ["selfinstruct", *words]
            main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does with it
        traceback.print_exc()
        return 1
    return 0


def leave(code: int) -> None:
    """End as Python does, but do not take thousands of modules apart."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
