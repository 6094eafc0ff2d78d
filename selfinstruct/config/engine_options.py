"""What each engine understands of the section `engine` of the config: data, and nothing else.

The config validates by it, the options of the command line are described by it, and the list
of engines (`engines/registry.py`) refers to it. It is apart from that list because the config
is below the engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """An engine's name, and what can be set for it.

    name: as `--engine` and `engine.name` give it.
    title: as messages call it.
    help: what it is, in half a line.
    keys: the keys of the section that it understands, beside `EVERY_ENGINE`.
    reserved: names under `engine.options` that a run must own, and the key that sets each
        instead; None: none does, since the scores depend on it.
    speed: names under `engine.options` that change speed or memory and nothing else.
    """

    name: str
    title: str
    help: str
    keys: frozenset[str]
    reserved: Mapping[str, str | None]
    speed: frozenset[str]


# Keys that every engine understands: its name, and what `Engine.start` is given.
EVERY_ENGINE = frozenset({"name", "context_length"})

VLLM = EngineOptions(
    name="vllm",
    title="vLLM",
    help="vLLM on this machine, on a GPU or a CPU",
    keys=frozenset({"driver", "threads", "kv_cache_gb", "max_num_seqs", "options"}),
    reserved={
        "model": "model.name",
        "tokenizer": "model.name",
        "dtype": "model.dtype",
        "max_model_len": "engine.context_length",
        "max_num_seqs": "engine.max_num_seqs",
        "seed": "seed",
        "logprobs_mode": None,
        "max_logprobs": None,
        "skip_tokenizer_init": None,
        "task": None,
        "runner": None,
    },
    speed=frozenset(
        {
            *("gpu_memory_utilization", "tensor_parallel_size", "pipeline_parallel_size"),
            *("data_parallel_size", "swap_space", "block_size", "max_num_batched_tokens"),
            *("disable_log_stats", "download_dir", "max_parallel_loading_workers"),
        }
    ),
)

# By name. What is not built does not appear.
ENGINE_OPTIONS: dict[str, EngineOptions] = {one.name: one for one in (VLLM,)}

DEFAULT_ENGINE = VLLM.name


def no_engine(name: str, known: Iterable[str]) -> str:
    """Return the message that there is no engine of a name."""
    return f"no engine {name!r}; give one of: {', '.join(known)}"
