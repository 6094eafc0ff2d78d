"""Requests of revisions: a draft, a critique by a principle, and the rewrite."""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.common import ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, Form, Prompt, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.revise import ReviseConfig
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.generate.writer import Writer
from selfinstruct.inputs.run_inputs import Inputs
from selfinstruct.prompts.chat_template import with_system
from selfinstruct.prompts.principles import principles_from
from selfinstruct.prompts.revising import Asked, RevisePrompts
from selfinstruct.verdicts.revisions import RevisionSettings, Series, SeriesState, request_id

_LEAST_CONTEXT = 2048
# The lines of the raw templates that stand after a critique, and after a revision.
_STOP = ("\n###", "\nQuestion:", "\nHow to rewrite:", "\nNew answer:", "\nPrinciple:")


class ReviseRequests:
    """Turns a series so far into its next request.

    Args:
        writer: the model that writes; its engine need not be started.
        revise: settings of the revisions.
        settings: what they are judged by.
        prompts: templates of critiques and revisions.
        inputs: the run's templates, for drafts.
    """

    def __init__(
        self,
        writer: Writer,
        revise: ReviseConfig,
        settings: RevisionSettings,
        prompts: RevisePrompts,
        inputs: Inputs,
    ) -> None:
        self._writer = writer
        self._revise = revise
        self._prompts = prompts
        self._by_name = {one.name: one for one in principles_from(settings.principles)}
        self._builder = RequestBuilder(writer.config, inputs, writer.engine, writer.modes)

    @property
    def _mode(self) -> str:
        """Answers are asked for as instances are, and so is all about them."""
        return self._writer.modes[Stage.INSTANCES]

    @property
    def system(self) -> str | None:
        """The system prompt of critiques and revisions; raw text has none."""
        return None if self._mode == "base" else self._writer.config.model.system

    def request(self, series: Series, state: SeriesState, step: tuple[int, Stage]) -> Request:
        """Return the request that a series asks for next (`SeriesState.next_request`)."""
        number, stage = step
        draft = series.draft
        if stage is Stage.ANSWER:
            about = ids.revision(series.id, number)
            return self._builder.answer(about, draft.instruction, draft.input)
        principle = self._by_name[series.principles[number - 1]]
        asked = Asked(series.task, state.text, principle, state.critique or "")
        return self._asking(series.id, number, stage, asked)

    def has_room(
        self, series: Series, state: SeriesState, step: tuple[int, Stage], context: int
    ) -> bool:
        """Whether a context, in tokens, has room for a request and all that follows in its step."""
        if step[1] is not Stage.CRITIQUE:
            return True  # it was seen to with the critique
        return self._tokens_of_step(series, step[0], state.text) <= context

    def context_of(self, owed: Sequence[Series]) -> int:
        """Return a context length for these series, in tokens, as far as the model has it.

        Raises:
            ConfigError: none of them has room for a draft, a critique and a revision.
        """
        answer = self._writer.config.instances.sampling.max_tokens
        needs = [self._tokens_of_step(one, 1, one.draft.text) for one in owed]
        if self._revise.draft:  # it is not there yet
            needs = [need + answer for need in needs]
        limit = self._writer.engine.context_length
        if min(needs) > limit:
            raise ConfigError(
                f"the model's context of {limit} tokens is too short: the shortest task with its "
                f"draft, critique and revision needs {min(needs)}; lower "
                "instances.sampling.max_tokens or revise.critique_sampling.max_tokens, or give "
                "another --model"
            )
        later = answer if self._revise.rounds > 1 else 0
        return min(limit, max(_LEAST_CONTEXT, max(needs) + later))

    def _tokens_of_step(self, series: Series, number: int, text: str) -> int:
        """Return the tokens of the longer request of a step, with the longest completions."""
        principle = self._by_name[series.principles[number - 1]]
        request = self._asking(
            series.id, number, Stage.REVISE, Asked(series.task, text, principle, "…")
        )
        engine = self._writer.engine
        prompt = len(engine.encode(engine.render(request.prompt)))
        critique = self._revise.critique_sampling.max_tokens
        return prompt + critique + request.sampling.max_tokens

    def _asking(self, series_id: str, number: int, stage: Stage, asked: Asked) -> Request:
        mode = "base" if self._mode == "base" else "chat"
        template = f"{stage}.{mode}.jinja"
        prompt: Prompt
        if mode == "base":
            prompt = self._prompts.text(template, asked)
        else:
            messages = self._prompts.messages(template, asked)
            messages = with_system(messages, self.system) if self.system else messages
            thinking = self._writer.config.model.thinking
            prompt = Conversation(tuple(messages), thinking=thinking)
        id = request_id(series_id, number, stage)
        return Request(
            id=id,
            about=ids.revision(series_id, number),
            stage=stage,
            reading=Reading(Form.WHOLE),
            prompt=prompt,
            sampling=self._sampling(stage, raw=mode == "base"),
            seed=derive_seed(self._writer.config.seed, id),
            template=template,
        )

    def _sampling(self, stage: Stage, *, raw: bool) -> SamplingConfig:
        sampling = self._writer.config.instances.sampling
        if stage is Stage.CRITIQUE:
            sampling = self._revise.critique_sampling
        stop = _STOP if raw else ()
        return sampling.model_copy(update={"stop": (*stop, *sampling.stop)})
