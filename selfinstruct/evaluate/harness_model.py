"""An engine as a model of lm-evaluation-harness: its three kinds of request, by ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import (
    Completion,
    Conversation,
    Form,
    Message,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.engines.base import Engine, ask_all, scoring_request
from selfinstruct.engines.isolated import Advance
from selfinstruct.evaluate.rankings import split_options

# Most tokens of a prompt with its answer. A longer prompt loses its beginning.
_CONTEXT = 4096
_ANSWER_TOKENS = 256
# What stands before a text that nothing stands before, for a model without a BOS.
_NOTHING = "\n"


@dataclass
class HarnessScores:
    """Answers what lm-eval asks, with an engine that is started at the first request."""

    engine: Engine
    advance: Advance
    started: bool = False
    asked: int = 0

    @property
    def room(self) -> int:
        return min(_CONTEXT, self.engine.context_length)

    def log_likelihoods(
        self, pairs: Sequence[tuple[str, str]], greedy: Sequence[bool]
    ) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation in nats, and whether greedy writes it.

        Args:
            pairs: (context, continuation). Both are split into tokens together.
            greedy: whether the second is asked for; if not, it is returned as False.
        """
        requests, written = [], {}
        for place, (context, continuation) in enumerate(pairs):
            shown = self._fitting(context, len(self.engine.encode(continuation)) + 1)
            prompt, [tokens] = split_options(self.engine, shown or _NOTHING, [continuation])
            requests.append(scoring_request(self._id(place), prompt, tokens))
            if greedy[place]:
                how = SamplingConfig(max_tokens=max(1, len(tokens)))
                id = ids.request(self._id(place), "greedy")
                written[place] = Request(
                    id, id, Stage.ANSWER, Reading(Form.WHOLE), prompt, how, scored=None
                )
        done = self._ask([*requests, *written.values()])
        scores = []
        for place, request in enumerate(requests):
            own = done[request.id]
            matches = place in written and _is_written(done[written[place].id], own)
            scores.append((sum(_logprobs(own)), matches))
        return scores

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Return the log-likelihood of whole texts in nats.

        A text that is longer than the context is scored in parts, each after the one before it.
        """
        requests: list[Request] = []
        owners = []
        for place, text in enumerate(texts):
            for part, (context, rest) in enumerate(self._parts(text)):
                prompt, [tokens] = split_options(self.engine, context or _NOTHING, [rest])
                about = ids.option(self._id(place), part)
                requests.append(scoring_request(about, prompt, tokens))
                owners.append(place)
        done = self._ask(requests)
        sums = [0.0] * len(texts)
        for place, request in zip(owners, requests, strict=True):
            sums[place] += sum(_logprobs(done[request.id]))
        return sums

    def answers(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """Return what the model writes after each context, up to its stop strings.

        Args:
            asked: (context, lm-eval's generation arguments).
        """
        requests = []
        for place, (context, how) in enumerate(asked):
            sampling = _sampling(how)
            prompt = self._fitting(context, sampling.max_tokens) or _NOTHING
            id = ids.request(self._id(place), "answer")
            requests.append(
                Request(id, id, Stage.ANSWER, Reading(Form.WHOLE), prompt, sampling, seed=place)
            )
        done = self._ask(requests)
        texts = []
        for request in requests:
            _logprobs_or_text(done[request.id])
            texts.append(done[request.id].text)
        return texts

    def rendered(self, turns: Sequence[Mapping[str, str]], *, answers: bool) -> str:
        """Return a conversation as the chat template writes it.

        Args:
            turns: those of lm-eval; if it answers none, the last one is the model's, and opened.
            answers: whether the model answers next.
        """
        messages = tuple(Message(role=turn["role"], content=turn["content"]) for turn in turns)
        if answers or not messages:
            return self.engine.render(Conversation(messages))
        return self.engine.render(Conversation(messages[:-1], messages[-1]["content"]))

    def _ask(self, requests: Sequence[Request]) -> dict[str, Completion]:
        if not self.started:
            self.engine.start(self.room)
            self.started = True
        self.asked += len(requests)
        return {one.request.id: one for one in ask_all(self.engine, requests, self.advance)}

    def _id(self, place: int) -> str:
        return ids.harness(self.asked + place)

    def _fitting(self, context: str, behind: int) -> str:
        """Return a context without as much of its beginning as the model has no room for."""
        room = self.room - behind - 2
        while context and (tokens := len(self.engine.encode(context))) > room:
            share = max(0, room) / tokens
            context = context[len(context) - int(len(context) * share * 0.98) :]
        return context

    def _parts(self, text: str) -> list[tuple[str, str]]:
        """Return what is scored and what stands before it; all of a text, each character once."""
        parts, start, size = [], 0, len(text)
        while start < len(text):
            rest = text[start : start + size]
            while len(self.engine.encode(rest)) > self.room // 2 and len(rest) > 1:
                size = max(1, size * 3 // 4)
                rest = text[start : start + size]
            if start + len(rest) < len(text) and (space := max(map(rest.rfind, " \n"))) > 0:
                rest = rest[:space]  # a word is not divided
            before = self._fitting(text[:start], self.room // 2)
            parts.append((before, rest))
            start += len(rest)
        return parts


def _sampling(how: Mapping[str, Any]) -> SamplingConfig:
    """Return our sampling for lm-eval's generation arguments."""
    until = how.get("until") or ()
    samples = bool(how.get("do_sample")) or float(how.get("temperature") or 0) > 0
    return SamplingConfig(
        temperature=float(how.get("temperature") or 1.0) if samples else 0.0,
        top_p=float(how.get("top_p") or 1.0) if samples else 1.0,
        max_tokens=int(how.get("max_gen_toks") or how.get("max_tokens") or _ANSWER_TOKENS),
        stop=(until,) if isinstance(until, str) else tuple(until),
    )


def _logprobs_or_text(done: Completion) -> None:
    if done.error is not None:
        raise EngineError(f"a request of lm-eval failed: {done.error}")


def _logprobs(done: Completion) -> Sequence[float]:
    _logprobs_or_text(done)
    if done.token_logprobs is None:
        raise EngineError(f"a text of lm-eval has no log-likelihood: {done.text[:80]!r}")
    return done.token_logprobs


def _is_written(written: Completion, scored: Completion) -> bool:
    _logprobs_or_text(written)
    return tuple(written.token_ids[: len(scored.token_ids)]) == tuple(scored.token_ids)


def harness_model(engine: Engine, advance: Advance) -> Any:
    """Return an engine as lm-eval's `LM`."""
    from lm_eval.api.model import LM

    scores = HarnessScores(engine, advance)

    class EngineModel(LM):  # type: ignore[misc]
        """Lets lm-eval ask the engine. Instances carry its requests in `args`."""

        tokenizer_name = "selfinstruct"

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            # Of choices only the likelihood counts; greedy decoding is for single continuations.
            of_row = Counter((one.task_name, one.doc_id) for one in requests)
            single = [of_row[one.task_name, one.doc_id] == 1 for one in requests]
            return scores.log_likelihoods([one.args for one in requests], single)

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            return scores.rolling([one.args[0] for one in requests])

        def generate_until(self, requests: list[Any]) -> list[str]:
            return scores.answers([one.args for one in requests])

        def apply_chat_template(
            self,
            chat_history: list[dict[str, str]],
            add_generation_prompt: bool = True,
        ) -> str:
            return scores.rendered(chat_history, answers=add_generation_prompt)

    return EngineModel()
