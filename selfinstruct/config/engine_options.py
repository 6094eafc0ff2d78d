"""The keys of the config section `engine` that each engine knows: data only.

The config validates by it, the command line describes its options by it, and the list of engines
(`engines/registry.py`) refers to it. It is apart from that list because `config` must not import
`engines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from selfinstruct.common.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """An engine's name, and what can be set for it.

    name: as `--engine` and `engine.name` give it.
    title: its name in messages.
    help: a short description.
    keys: the keys of the section that it knows, besides `EVERY_ENGINE`.
    reserved: names that must not be set under `engine.options`, each with the key that sets it
        instead; None if nothing may set it, since the scores depend on it.
    speed: names under `engine.options` that change only speed or memory.
    """

    name: str
    title: str
    help: str
    keys: frozenset[str]
    reserved: Mapping[str, str | None]
    speed: frozenset[str]


# Keys that every engine knows: its name, and the argument of `Engine.start`.
EVERY_ENGINE = frozenset({"name", "context_length"})

VLLM = EngineOptions(
    name="vllm",
    title="vLLM",
    help="vLLM on this machine, on a GPU or a CPU",
    keys=frozenset(
        {"driver", "threads", "kv_cache_gb", "max_num_seqs", "patience_minutes", "options"}
    ),
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

OPENAI = EngineOptions(
    name="openai",
    title="the server",
    help="a server with OpenAI's interface: vllm serve, SGLang, llama.cpp, Ollama, hosted models",
    keys=frozenset({"base_url", "max_num_seqs"}),
    reserved={},
    speed=frozenset(),
)

RAY = EngineOptions(
    name="ray",
    title="vLLM on Ray",
    help="vLLM on the machines of a Ray cluster",
    keys=VLLM.keys | {"address", "replicas", "gpus_per_replica"},
    reserved=VLLM.reserved,
    speed=VLLM.speed,
)

# By name; only engines that exist.
ENGINE_OPTIONS: dict[str, EngineOptions] = {
    options.name: options for options in (VLLM, OPENAI, RAY)
}

DEFAULT_ENGINE = VLLM.name


def no_engine(name: str, names: Iterable[str]) -> str:
    """Return the message for an unknown engine; `names` are those that exist."""
    known = list(names)
    return f"no engine {name!r}; {did_you_mean(name, known)}give one of: {', '.join(known)}"
