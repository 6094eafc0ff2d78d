"""vLLM on a GPU or a CPU, behind the Engine protocol.

On a CPU the engine is loaded and stepped in a thread of this process: it starts in a third of the
time of separate processes, with the same throughput. On a GPU the Python code of this process would
slow the device down, so `AsyncLLM` runs in a process of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

from selfinstruct.common.errors import ConfigError, EngineError, why
from selfinstruct.common.memory import keep_freed_memory
from selfinstruct.common.records import Completion, LocalModel, Prompt, Request
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.base import ALL, SCORED, EngineUsage, IdleClock
from selfinstruct.engines.captured import captured_stderr
from selfinstruct.engines.detokenize import TokenDecoder, special_tokens
from selfinstruct.engines.machine import (
    Machine,
    bound_cores,
    can_compile,
    detect_machine,
    is_busy,
)
from selfinstruct.engines.rendering import render, render_ids
from selfinstruct.engines.thinking import MARKS, Written, apart, opens_thinking
from selfinstruct.engines.tokenizer import load_tokenizer
from selfinstruct.engines.vllm_arguments import (
    one_token_arguments,
    sampling_arguments,
    scoring_arguments,
)
from selfinstruct.engines.vllm_drivers import AsyncDriver, Driver, Failed, InProcessDriver
from selfinstruct.prompts.template import further_ends

log = logging.getLogger(__name__)

# On a GPU vLLM itself chooses how many sequences run at once: at most so many.
_MOST_BY_DEFAULT = 1024


class VllmEngine:
    """The engine that the loop uses. Cheap to build; `start` loads the model.

    Raises:
        ConfigError: the model folder has no usable tokenizer.
    """

    capabilities = ALL

    def __init__(self, model: LocalModel, config: ModelConfig, engine: EngineConfig) -> None:
        self.machine: Machine = detect_machine()
        self.dtype = self.machine.dtype if config.dtype == "auto" else config.dtype
        self._model = model
        self._engine = engine
        self._tokenizer = load_tokenizer(model)
        self._decoder = TokenDecoder(self._tokenizer.backend_tokenizer)
        self._marks = special_tokens(self._tokenizer.backend_tokenizer, MARKS)
        self._turn_ends = further_ends(self._tokenizer)
        self._limit = min(model.context_length, engine.context_length or model.context_length)
        self._driver: Driver | None = None
        self._clock = IdleClock()
        self._prompts: dict[str, tuple[str, list[int]]] = {}
        self._requests: dict[str, Request] = {}
        self._again: set[str] = set()
        self._lock = threading.Lock()  # one thread may collect while another submits or aborts

    @property
    def context_length(self) -> int:
        return self._limit

    @property
    def at_once(self) -> int:
        return self._engine.max_num_seqs or self.machine.max_num_seqs or _MOST_BY_DEFAULT

    @property
    def has_chat_template(self) -> bool:
        return bool(self._tokenizer.chat_template)

    def encode(self, text: str) -> list[int]:
        return cast("list[int]", self._tokenizer.encode(text, add_special_tokens=False))

    def render(self, prompt: Prompt) -> str:
        return render(prompt, self._model, self._tokenizer)

    def start(self, context_length: int) -> None:
        self._limit = min(context_length, self._limit)
        self._set_environment()
        keep_freed_memory()
        arguments = self._arguments()
        log.debug("vLLM engine arguments: %s", arguments)
        # Set before it starts, so that `close` reaches a driver that is still loading.
        minutes = self._engine.patience_minutes
        patience = None if minutes is None else 60 * minutes
        self._driver = InProcessDriver(patience) if self._in_process() else AsyncDriver(patience)
        with captured_stderr() as captured:
            try:
                self._driver.start(arguments)
            except (TypeError, ValueError) as error:  # pydantic's errors are ValueErrors
                message = f"vLLM refuses its options: {why(error)}; check engine.options"
                raise ConfigError(message) from error
            except Exception as error:
                raise EngineError(_load_failure(error, captured)) from error
        self._clock = IdleClock()

    def submit(self, requests: Sequence[Request]) -> None:
        driver = self._started()
        self._clock.submitted(len(requests))
        batch = []
        for request in requests:
            text, ids = render_ids(request.prompt, self._model, self._tokenizer)
            scored = request.scored or ()
            with self._lock:
                self._prompts[request.id] = (text, ids)
                self._requests[request.id] = request
            room = self._limit - len(ids) - len(scored)
            if room < 1:
                tokens = len(ids) + len(scored)
                message = f"prompt of {tokens} tokens, context of {self._limit}"
                driver.put(Failed(request.id, message))
            elif request.scored is None:
                arguments = sampling_arguments(request, room, self._turn_ends)
                batch.append((request.id, ids, arguments))
            elif len(scored) == 1 and ids:
                batch.append((request.id, ids, one_token_arguments(scored[0])))
            else:
                cached = self.dtype != "float32"
                batch.append((request.id, [*ids, *scored], scoring_arguments(cached=cached)))
        driver.submit(batch)

    def collect(self) -> list[Completion]:
        driver = self._started()
        while True:
            outputs = [driver.next_output()]
            with contextlib.suppress(queue.Empty):
                while True:
                    outputs.append(driver.next_output(block=False))
            with self._lock:
                finished = [output for output in outputs if output.request_id in self._requests]
                finished = [output for output in finished if not self._scored_again(output)]
                if finished:
                    # Counted now, since the rest is our work, not the engine's.
                    self._clock.finished(len(finished))
                    return [self._completion(output) for output in finished]

    def abort(self, ids: Sequence[str]) -> None:
        with self._lock:
            dropped = [id for id in ids if self._requests.pop(id, None) is not None]
            for id in dropped:
                del self._prompts[id]
        self._started().abort(dropped)
        self._clock.finished(len(dropped))

    def usage(self) -> EngineUsage:
        return self._clock.usage()

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    def settings(self) -> dict[str, Any]:
        """Return the detected settings, for run.yaml and the first line of a run's output."""
        return {
            "device": self.machine.device,
            "driver": "inprocess" if self._in_process() else "async",
            "dtype": self.dtype,
            "context_length": self._limit,
            "max_num_seqs": self._engine.max_num_seqs or self.machine.max_num_seqs,
        }

    def _started(self) -> Driver:
        if self._driver is None:
            raise EngineError("the engine is not started")
        return self._driver

    def _in_process(self) -> bool:
        if self._engine.driver == "auto":
            return self.machine.device == "cpu"
        return self._engine.driver == "inprocess"

    def _set_environment(self) -> None:
        """Set what vLLM reads when it is imported; the user's own settings stay."""
        defaults = {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0" if self._in_process() else "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_LOGGING_STREAM": "ext://sys.stderr",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        if self.machine.device == "cpu":
            cores = bound_cores(self._engine.threads, self.machine.cores)
            gigabytes = self._engine.kv_cache_gb or self.machine.kv_cache_gb
            # Who binds it otherwise has chosen the cores; replicas beside it are no other work.
            is_ours = "VLLM_CPU_OMP_THREADS_BIND" not in os.environ
            defaults["VLLM_CPU_OMP_THREADS_BIND"] = cores
            defaults["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(gigabytes)))
            if is_ours and is_busy(self.machine.cores):
                # Threads that wait for each other soon sleep: a third slower than to spin on an
                # idle machine, twice as fast beside other work (scripts/bench_neighbour.py). The
                # libraries, GNU's and Intel's, read it when they are loaded, with torch.
                defaults |= {"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "PASSIVE"}
            if not can_compile():
                # vLLM compiles a small function that ranks log-probabilities, `enforce_eager` or
                # not, and dies at the first score where it cannot. The ranks are the same without.
                defaults["TORCHDYNAMO_DISABLE"] = "1"
        for name, value in defaults.items():
            os.environ.setdefault(name, value)

    def _arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": str(self._model.path),
            "dtype": self.dtype,
            "max_model_len": self._limit,
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            # No code of the model's own, and no pickled weights, unless engine.options say so.
            "trust_remote_code": False,
            "load_format": "safetensors",
        }
        sequences = self._engine.max_num_seqs or self.machine.max_num_seqs
        if sequences is not None:
            arguments["max_num_seqs"] = sequences
        if self.machine.device == "cpu":
            # Compilation takes a minute and gains nothing for small models. Chunked prefill
            # with per-request seeds crashes vllm-cpu 0.32 ("CPU Generator does not use offset").
            arguments |= {
                "enforce_eager": True,
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(self._limit, 2048),
            }
        return arguments | dict(self._engine.options)

    def _completion(self, output: Any) -> Completion:
        request = self._requests.pop(output.request_id)
        prompt, prompt_ids = self._prompts.pop(output.request_id)
        if isinstance(output, Failed):
            return _failure(request, prompt, len(prompt_ids), output.error)
        if request.scored is not None:
            return self._scored(request, prompt, prompt_ids, output)
        result = output.outputs[0]
        token_ids = tuple(int(token) for token in result.token_ids)
        text, starts, ends = self._decoder.spans(prompt_ids, token_ids)
        marks = [
            (start, self._marks[token])
            for token, start in zip(token_ids, starts, strict=True)
            if token in self._marks
        ]
        if not text.startswith(result.text):
            # The two decodings differ (invalid UTF-8 in the middle), so no span is reliable.
            starts, ends, marks = [0] * len(token_ids), [0] * len(token_ids), []
        written = Written(result.text, starts, ends)
        thinking, answer = apart(written, marks, opened=opens_thinking(prompt))
        return Completion(
            request=request,
            text=answer.text,
            token_ids=token_ids,
            token_logprobs=_logprobs(token_ids, result.logprobs),
            token_starts=tuple(answer.starts),
            token_ends=tuple(answer.ends),
            finish_reason=str(result.finish_reason),
            num_prompt_tokens=len(prompt_ids),
            thinking=thinking,
            prompt=prompt,
        )

    def _scored_again(self, output: Any) -> bool:
        """Score again without the prompt cache, once, if the cache held a part of the text."""
        request = self._requests[output.request_id]
        _, prompt_ids = self._prompts[output.request_id]
        if isinstance(output, Failed):
            return False
        if output.prompt_logprobs is None or request.scored is None:
            return False
        cached = (output.num_cached_tokens or 0) >= max(1, len(prompt_ids))
        # A request that was preempted may have found its own beginning in the cache.
        short = len(output.prompt_logprobs) < len(request.scored)
        if request.id in self._again or not (cached or short):
            self._again.discard(request.id)
            return False
        self._again.add(request.id)
        again = scoring_arguments(cached=False)
        self._started().submit([(request.id, [*prompt_ids, *request.scored], again)])
        return True

    def _scored(
        self, request: Request, prompt: str, prompt_ids: list[int], output: Any
    ) -> Completion:
        """Return scored tokens with their log-probabilities, as if the model had written them.

        A single token was written under a constraint. Otherwise the last entries of vLLM's
        `prompt_logprobs` are those of the text; the entry of a token with nothing before it is
        None. Cached tokens have no entries, or arbitrary ones (so `detokenize` is off: it would
        read them).
        """
        token_ids = tuple(request.scored or ())
        text, starts, ends = self._decoder.spans(prompt_ids, token_ids)
        if output.prompt_logprobs is None:
            entries = output.outputs[0].logprobs
        else:
            entries = output.prompt_logprobs[-len(token_ids) :]
        complete = all(entry is not None for entry in entries)
        return Completion(
            request=request,
            text=text,
            token_ids=token_ids,
            token_logprobs=_logprobs(token_ids, entries) if complete else None,
            token_starts=tuple(starts),
            token_ends=tuple(ends),
            finish_reason=SCORED,
            num_prompt_tokens=len(prompt_ids),
            prompt=prompt,
        )


def _logprobs(token_ids: Sequence[int], entries: Any) -> tuple[float, ...] | None:
    if entries is None or len(entries) != len(token_ids):
        return None
    return tuple(
        float(entry[token].logprob) for token, entry in zip(token_ids, entries, strict=True)
    )


def _failure(request: Request, prompt: str, prompt_tokens: int, message: str) -> Completion:
    return Completion(
        request, "", (), None, (), (), "error", prompt_tokens, error=message, prompt=prompt
    )


def _load_failure(error: Exception, captured: Mapping[str, str]) -> str:
    tail = "\n".join(captured.get("text", "").splitlines()[-15:])
    return f"vLLM could not load the model: {why(error)}\n{tail}".rstrip()
