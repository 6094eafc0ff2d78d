"""A server with OpenAI's interface for tests: scripted answers, and faults when asked for."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

Answer = Callable[[str], str]
FAULTS = ("busy", "error", "disconnect", "half", "nonsense", "empty", "slow")


def words_of(text: str) -> list[str]:
    """The tokens of a text: words with the space before them."""
    import re

    return re.findall(r"\s*\S+|\s+$", text)


class FakeServer(ThreadingHTTPServer):
    """Serves one model.

    Args:
        answer: returns the text for a prompt.
        kind: `vllm`, or `plain` (a server that tells nothing of itself).
        faults: share of the requests for completions that fail, in every way.
        refuses: fields of a body that this server does not know.
        chat_only: it has no `/completions`.
    """

    daemon_threads = True
    request_queue_size = 512
    # Servers of one model share its tokenizer: ids of one are understood by the others.
    lock = threading.Lock()
    vocabulary: ClassVar[dict[str, int]] = {}
    words: ClassVar[dict[int, str]] = {}

    def __init__(
        self,
        answer: Answer,
        *,
        port: int = 0,
        kind: str = "vllm",
        faults: float = 0.0,
        refuses: tuple[str, ...] = (),
        chat_only: bool = False,
        model: str = "toy",
        seed: int = 0,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer, self.kind, self.faults, self.refuses = answer, kind, faults, refuses
        self.chat_only, self.model = chat_only, model
        self.rng = random.Random(seed)
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()  # what clients sent as `Authorization`
        self.rejects: tuple[int, str] | None = None  # the error of every request for completions
        self.given: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def tokens(self, text: str) -> list[int]:
        with self.lock:
            for word in words_of(text):
                number = self.vocabulary.setdefault(word, len(self.vocabulary) + 1)
                self.words[number] = word
            return [self.vocabulary[word] for word in words_of(text)]

    def text(self, tokens: list[int]) -> str:
        return "".join(self.words[token] for token in tokens)

    def fault(self) -> str | None:
        with self.lock:
            failing = self.rng.random() < self.faults
            return self.rng.choice(FAULTS) if failing else None

    def handle_error(self, *_: Any) -> None:
        """Clients that leave are no news."""


@contextmanager
def serving(answer: Answer, **options: Any) -> Iterator[FakeServer]:
    server = FakeServer(answer, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        served = self.server
        if self.path == "/v1/models":
            card = {"id": served.model, "object": "model"}
            if served.kind == "vllm":
                card["max_model_len"] = 4096
            return self.reply({"object": "list", "data": [card]})
        if self.path == "/version" and served.kind == "vllm":
            return self.reply({"version": "0.32.0"})
        return self.reply({"error": {"message": "not found"}}, 404)

    def do_POST(self) -> None:
        served = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/tokenize" and served.kind == "vllm":
            prompt = body["prompt"] if "prompt" in body else _chat(body)
            return self.reply({"tokens": served.tokens(prompt), "count": 0})
        if self.path == "/detokenize" and served.kind == "vllm":
            return self.reply({"prompt": served.text(body["tokens"])})
        served.keys.add(self.headers.get("authorization", ""))
        if served.rejects is not None:
            status, message = served.rejects
            return self.reply({"error": {"message": message}}, status)
        chat = self.path == "/v1/chat/completions"
        if not chat and (self.path != "/v1/completions" or served.chat_only):
            return self.reply({"error": {"message": "not found"}}, 404)
        unknown = [name for name in served.refuses if name in body]
        if unknown:
            return self.reply({"error": {"message": f"unknown field {unknown[0]}"}}, 400)
        fault = served.fault()
        served.given[fault or "answered"] += 1
        if fault is not None:
            return self.fail(fault)
        with served.lock:
            served.bodies.append(body)
            served.in_flight += 1
            served.most_in_flight = max(served.most_in_flight, served.in_flight)
        try:
            return self.reply(self.completion(body, chat=chat))
        finally:
            with served.lock:
                served.in_flight -= 1

    def completion(self, body: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        served = self.server
        prompt = _chat(body) if chat else body["prompt"]
        ids = prompt if isinstance(prompt, list) else served.tokens(prompt)
        if "prompt_logprobs" in body:
            entries = [
                {str(id): {"logprob": -1.0, "decoded_token": served.words[id]}} for id in ids
            ]
            return _reply({"text": " x", "token_ids": [1], "prompt_logprobs": [None, *entries[1:]]})
        if "allowed_token_ids" in body:
            (token,) = body["allowed_token_ids"]
            scores = {"tokens": [served.words[token]], "token_logprobs": [-1.0]}
            text = served.words[token]
            return _reply({"text": text, "token_ids": [token], "logprobs": scores})
        text = served.answer(served.text(ids))
        written = served.tokens(text)
        pieces, scores = words_of(text), [-1.0 - 0.01 * (id % 50) for id in written]
        if chat:
            choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
            content = [{"token": p, "logprob": s} for p, s in zip(pieces, scores, strict=True)]
            choice["logprobs"] = {"content": content} if body.get("logprobs") else None
        else:
            choice = {"text": text, "logprobs": {"tokens": pieces, "token_logprobs": scores}}
            if body.get("return_token_ids"):
                choice["token_ids"] = written
        return _reply(choice, len(ids), len(written))

    def fail(self, fault: str) -> None:
        if fault == "busy":
            return self.reply({"error": {"message": "busy"}}, 429, {"Retry-After": "0.05"})
        if fault == "error":
            return self.reply({"error": {"message": "internal"}}, 500)
        if fault == "nonsense":
            return self.send(b"{nonsense", 200)
        if fault == "empty":
            return self.reply({"choices": []})
        if fault == "half":
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [{"te')
        elif fault == "slow":
            time.sleep(0.3)
            return self.reply({"error": {"message": "slow"}}, 503)
        self.close_connection = True
        return None

    def reply(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(body).encode(), status, headers)

    def send(self, content: bytes, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _chat(body: dict[str, Any]) -> str:
    turns = "".join(f" <{turn['role']}> {turn['content']}" for turn in body["messages"])
    opened = body.get("continue_final_message")
    return turns if opened else f"{turns} <assistant>"


def _reply(choice: dict[str, Any], prompt: int = 1, written: int = 1) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": written}
    return {"choices": [{"index": 0, "finish_reason": "stop", **choice}], "usage": usage}
