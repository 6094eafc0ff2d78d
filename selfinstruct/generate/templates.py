"""Fill in the template of a question: its prompt, its stop strings, how its answer is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, Form, Prompt, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import RunConfig
from selfinstruct.engines.base import Engine
from selfinstruct.prompts import PromptLibrary
from selfinstruct.prompts.chat_template import with_system
from selfinstruct.prompts.reading import ends_in_item, opened_marker, reading_of_list

# From here on, a chat template that ends with a turn of the model opens that turn.
_OPENED_SINCE = 3
# A mode like chat, in which the model always begins a turn of its own.
PLAIN = "plain"
_MOST_SAMPLINGS = 256


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks, before its template is filled in.

    template: its name, without the mode and the ending.
    form: what the completion consists of.
    parents: pool ids of the tasks that the prompt shows.
    stop: stop strings beside those of the template and of the sampling.
    source: id of the passage that it is about.
    given: the passage, or another known input of what is asked for.
    operation: how a task is rewritten, if one is.
    tag: the label that the template gives to one task.
    """

    stage: Stage
    form: Form
    template: str
    sampling: SamplingConfig
    parents: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    source: str = ""
    given: str = ""
    operation: str = ""
    tag: str = ""


class Templates:
    """Turns questions into requests by the templates of a run.

    Args:
        config: sampling seed, system prompt, thinking.
        prompts: the templates.
        engine: says whether it continues a turn.
        modes: `base`, `chat` or `plain` for each stage.
    """

    def __init__(
        self,
        config: RunConfig,
        prompts: PromptLibrary,
        engine: Engine,
        modes: Mapping[str, str],
    ) -> None:
        self._config = config
        self._prompts = prompts
        self._engine = engine
        self._modes = modes
        self._samplings: dict[
            tuple[int, tuple[str, ...]], tuple[SamplingConfig, SamplingConfig]
        ] = {}

    def request(self, about: str, question: Question, **values: Any) -> Request:
        """Fill in a question's template with values."""
        stage, name, sampling = question.stage, question.template, question.sampling
        # Stages outside the loop are prompted as instances are.
        mode = self._modes.get(stage, self._modes[Stage.INSTANCES])
        template = template_file(name, mode)
        prompt: Prompt
        if mode == "base":
            prompt = continued = self._prompts.text(template, **values)
            stop = (*self._prompts.stop.get(name, []), *question.stop, *sampling.stop)
        else:
            prompt = self._conversation(question, mode, values)
            continued = prompt.opened
            # A model's turn ends by itself; only a list that it continues needs an end.
            stop = (*(question.stop if continued else ()), *sampling.stop)
        reading = self._reading(question, mode, continued)
        return self._request(about, question, template, prompt, reading, stop)

    def as_user(self, about: str, question: Question, **values: Any) -> Request:
        """Ask a chat model for a user's message.

        The template is filled in, as a system prompt, if one of the values says something. Without
        it the conversation has only the user's own system prompt, or none.
        """
        template = template_file(question.template, "chat")
        messages = self._prompts.messages(template, **values) if any(values.values()) else []
        if self._config.model.system:
            messages = with_system(messages, self._config.model.system)
        prompt = Conversation(tuple(messages), as_user=True)
        stop = tuple(question.sampling.stop)
        return self._request(about, question, template, prompt, Reading(question.form), stop)

    def _request(
        self,
        about: str,
        question: Question,
        template: str,
        prompt: Prompt,
        reading: Reading,
        stop: tuple[str, ...],
    ) -> Request:
        stage, sampling = question.stage, question.sampling
        id = ids.request(about, stage)
        return Request(
            id=id,
            about=about,
            stage=stage,
            reading=reading,
            prompt=prompt,
            sampling=self._stopping(sampling, stop),
            seed=derive_seed(self._config.seed, id),
            template=template,
            parents=question.parents,
        )

    def _conversation(
        self, question: Question, mode: str, values: Mapping[str, Any]
    ) -> Conversation:
        template = template_file(question.template, mode)
        classifies = question.stage is Stage.CLASSIFY
        # A label of one word leaves no room to think.
        thinking = self._config.model.thinking and not classifies
        # A model that thinks first cannot go on with an answer.
        can_open = (
            self._config.rules_version >= _OPENED_SINCE
            and self._engine.capabilities.continues
            and not thinking
            and mode != PLAIN
        )
        messages = self._prompts.messages(template, **values, can_open=can_open)
        opened = ""
        if self._config.rules_version >= _OPENED_SINCE and messages[-1]["role"] == "assistant":
            if not can_open:
                raise ConfigError(
                    f"{template}: ends with a turn of the assistant, which "
                    f"{'a model that thinks first' if thinking else 'this engine'} cannot "
                    "continue; put that turn between {% if can_open %} and {% endif %}"
                )
            opened = messages.pop()["content"]
        system = self._config.model.system
        if question.template == "direct":
            system = system or self._config.instances.direct_system
        if system and not classifies:
            messages = with_system(messages, system)
        return Conversation(tuple(messages), opened=opened, thinking=thinking)

    def _stopping(self, sampling: SamplingConfig, stop: tuple[str, ...]) -> SamplingConfig:
        """Return a stage's sampling with these stop strings: one for all its requests."""
        key = (id(sampling), stop)
        known = self._samplings.get(key)
        if known is None:
            if len(self._samplings) >= _MOST_SAMPLINGS:
                self._samplings.clear()
            # The stage's own is kept with it: its id is not another's then.
            known = (sampling, sampling.model_copy(update={"stop": stop}))
            self._samplings[key] = known
        return known[1]

    def _reading(self, question: Question, mode: str, continued: str) -> Reading:
        """Return how a completion is read; `continued` is the text that it continues, or ""."""
        form, reading = question.form, Reading(question.form)
        if form is Form.LIST:
            continues = bool(continued) and (mode == "base" or ends_in_item(continued))
            reading = reading_of_list(continued, question.parents, continues=continues)
        elif form in (Form.INPUT_FIRST, Form.OUTPUT_FIRST):
            reading = Reading(form, opened=opened_marker(continued, self._prompts.markers))
        elif form is Form.FIELDS:
            reading = Reading(form, continues=bool(continued))
        elif form is Form.TASK:
            reading = Reading(form, tag=question.tag)
        if not (question.source or question.given or question.operation):
            return reading
        return replace(
            reading,
            source=question.source,
            given=question.given,
            operation=question.operation,
        )


def template_file(name: str, mode: str) -> str:
    """Return the file of a template in a mode."""
    return f"{name}.{'base' if mode == 'base' else 'chat'}.jinja"
