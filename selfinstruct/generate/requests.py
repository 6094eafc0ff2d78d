"""Build the requests of each stage: ids, prompts, sampling seeds, and how to read the answers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import (
    Form,
    Markers,
    Prompt,
    Request,
    Stage,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.engines.base import Engine
from selfinstruct.filters.length import WORDS
from selfinstruct.filters.points import refers_to_input
from selfinstruct.filters.questions import STANDS_ALONE
from selfinstruct.generate.passages import PassageDraw
from selfinstruct.generate.proposals import PoolTask, Proposals
from selfinstruct.generate.templates import PLAIN, Question, Templates, template_file
from selfinstruct.inputs.documents import Passage
from selfinstruct.inputs.run_inputs import Inputs
from selfinstruct.prompts import Exemplar, FewShot, choose_fewshot
from selfinstruct.prompts.forms import Fixed

__all__ = ["PLAIN", "PoolTask", "RequestBuilder"]

# Room for tasks that are generated later and shown in prompts; most are far shorter.
_SPARE_TOKENS = 400
_LEAST_CONTEXT = 2048
# From here on, the labels of worked classification tasks come in two orders.
_TURNED_SINCE = 4
# Tasks of known kinds that the model is asked about, of each kind.
_KNOWN_OF_A_KIND = 4


class RequestBuilder:
    """Turns tasks into requests, for one run: its config, inputs and engine.

    Args:
        config: sampling, prompting and steering.
        inputs: seeds, topics and templates.
        engine: renders and counts prompts; it need not be started.
        modes: `base`, `chat` or `plain` for each stage.

    Raises:
        ConfigError: the templates or the prompting cannot do what the config asks.
    """

    def __init__(
        self,
        config: RunConfig,
        inputs: Inputs,
        engine: Engine,
        modes: Mapping[str, str],
    ) -> None:
        self._config = config
        self._prompts = inputs.prompts
        self._topics = inputs.topics
        self._engine = engine
        self._modes = modes
        self._filled = Templates(config, inputs.prompts, engine, modes)
        self._seeds = [seed.instruction for seed in inputs.seeds]
        self._fewshot: FewShot = choose_fewshot(
            inputs.seeds,
            inputs.prompts.exemplars,
            random.Random(derive_seed(config.seed, "fewshot")),
            for_classify=config.classify.exemplars,
            for_instances=config.instances.exemplars,
            count=WORDS.at(config.rules_version),
        )
        self._turned = Fixed(
            {**one, "instances": one["instances"][::-1]} for one in self._fewshot.classification
        )
        self._passages = PassageDraw(inputs.passages, inputs.prompts.passages, config)
        self.proposed = Proposals(config, inputs, self._filled, self._passages)
        self._check_steering()

    @property
    def markers(self) -> Markers:
        """The words that stand before inputs, outputs and labels."""
        return self._prompts.markers

    @property
    def rules_version(self) -> int:
        """Version of the rules that the run is made by."""
        return self._config.rules_version

    def proposals(
        self, round: int, generated: Sequence[PoolTask], count: int | None = None
    ) -> list[Request]:
        """Draw in-context tasks for each proposal of a round, and write it (`Proposals`)."""
        return self.proposed.of_round(round, generated, count)

    def classify(self, about: str, instruction: str) -> Request:
        """Ask whether an instruction is classification; `about` is its id."""
        question = Question(Stage.CLASSIFY, Form.LABEL, "classify", self._config.classify.sampling)
        return self._filled.request(
            about,
            question,
            instruction=instruction,
            exemplars=self._fewshot.classify,
        )

    def known_tasks(self, about: str) -> list[Request]:
        """Ask the same about exemplars of the templates that the question does not show.

        Their kinds are known, so the answers show how far the model is to be believed.

        Args:
            about: the first instruction that is classified with them.
        """
        shown = {exemplar["instruction"] for exemplar in self._fewshot.classify}
        requests: list[Request] = []
        for is_label in (True, False):
            unshown = [
                (ids.known_task(about, number), task.instruction)
                for number, task in enumerate(self._prompts.exemplars)
                if bool(task.is_classification) is is_label and task.instruction not in shown
            ]
            requests += [self.classify(*pair) for pair in unshown[:_KNOWN_OF_A_KIND]]
        return requests

    def instances(
        self,
        about: str,
        instruction: str,
        *,
        is_classification: bool,
        source: str | None = None,
        given: str | None = None,
    ) -> Request:
        """Ask for inputs and outputs: output-first for classification, input-first otherwise.

        A question that stands alone has no input, and its label is its answer. Where proposals
        give whole tasks, only the output is asked for.

        Args:
            about: id of the instruction.
            instruction: its text.
            is_classification: whether its output is a label.
            source: id of the passage that it is about: the passage is the input.
            given: the input that was proposed with it.
        """
        if self.proposed.style.whole:
            return self._of_whole(about, instruction, given or "")
        if source is not None:
            return self._of_passage(about, instruction, self._passages.by_id(source))
        markers = self._prompts.markers
        base = self._modes[Stage.INSTANCES] == "base"
        points = refers_to_input(instruction, self.rules_version, self._config.instances)
        values: dict[str, Any] = {"instruction": instruction}
        if is_classification and not self.stands_alone(instruction):
            form, name = Form.OUTPUT_FIRST, "output_first"
            values["exemplars"] = self._labelled(about, instruction)
            values["opened"] = markers.label if base else ""
        elif not base and not points and self._config.instances.direct:
            form, name = Form.WHOLE, "direct"
        else:
            form, name = Form.INPUT_FIRST, "input_first"
            # Exemplars of the same kind, with an input or without, keep a small model on track.
            exemplars = self._fewshot.with_input if points else self._fewshot.without_input
            values["exemplars"] = _others(exemplars, instruction)
            values["opened"] = markers.input if base and points else ""
        question = Question(Stage.INSTANCES, form, name, self._config.instances.sampling)
        return self._filled.request(about, question, **values)

    def stands_alone(self, instruction: str) -> bool:
        """Whether an instruction is a question without an input, by the rules of the run."""
        points = refers_to_input(instruction, self.rules_version, self._config.instances)
        return STANDS_ALONE.at(self.rules_version)(instruction) and not points

    def _labelled(self, about: str, instruction: str) -> list[Exemplar]:
        """Return worked classification tasks; half of the requests see their labels turned round.

        So no label comes first in every prompt.
        """
        is_turned = (
            self.rules_version >= _TURNED_SINCE
            and derive_seed(self._config.seed, about, "labels") % 2 == 0
        )
        return _others(self._turned if is_turned else self._fewshot.classification, instruction)

    def _of_passage(self, about: str, instruction: str, passage: Passage) -> Request:
        """Ask for the output of an instruction whose input is a passage."""
        question = Question(
            Stage.INSTANCES,
            Form.WHOLE,
            "answer",
            self._config.instances.sampling,
            source=passage.id,
            given=passage.text,
        )
        exemplars = _others(self._fewshot.with_input, instruction)
        values = {"instruction": instruction, "input": passage.text, "exemplars": exemplars}
        return self._filled.request(about, question, **values)

    def _of_whole(self, about: str, instruction: str, given: str) -> Request:
        """Ask for the output of a task whose input is known, or that needs none."""
        is_direct = not given and self._modes[Stage.INSTANCES] != "base"
        name = "direct" if is_direct and self._config.instances.direct else "answer"
        sampling = self._config.instances.sampling
        question = Question(Stage.INSTANCES, Form.WHOLE, name, sampling, given=given)
        exemplars = self._fewshot.with_input if given else self._fewshot.without_input
        values: dict[str, Any] = {"instruction": instruction, "input": given}
        if name == "answer":
            values["exemplars"] = _others(exemplars, instruction)
        return self._filled.request(about, question, **values)

    def answer(self, about: str, instruction: str, input: str) -> Request:
        """Ask for the output of a task with its input; `about` is the answer's id."""
        question = Question(Stage.ANSWER, Form.WHOLE, "answer", self._config.instances.sampling)
        exemplars = self._fewshot.with_input if input else self._fewshot.without_input
        return self._filled.request(
            about,
            question,
            instruction=instruction,
            input=input,
            exemplars=_others(exemplars, instruction),
        )

    def scoring(self, id: str, request: Request, written: str) -> Request:
        """Ask how likely a text is after a request's prompt."""
        scored = tuple(self._engine.encode(written))
        return replace(request, id=ids.score(id), about=id, stage=Stage.SCORE, scored=scored)

    @property
    def can_score(self) -> bool:
        """Whether the engine scores given tokens."""
        return self._engine.capabilities.score

    @property
    def prompt_without_task(self) -> Prompt:
        """The prompt of an answer, with no task in it: what the conditional gain compares with."""
        return self.answer("", "", "").prompt

    def context_of(self, requests: Sequence[Request]) -> int:
        """Return a context length, in tokens, for just these requests.

        Raises:
            ConfigError: the model's context is too short for every one of them.
        """
        needs = [self._tokens(request.prompt) + request.sampling.max_tokens for request in requests]
        limit = self._engine.context_length
        if min(needs) > limit:
            raise ConfigError(
                f"the model's context of {limit} tokens is too short: the shortest prompt and its "
                f"answer need {min(needs)}; lower instances.sampling.max_tokens, or give "
                "another --model"
            )
        return min(limit, max(_LEAST_CONTEXT, *needs))

    def check_context(self) -> int:
        """Return the context length to run with, in tokens.

        Raises:
            ConfigError: the model's context is too short for a prompt made of seed tasks.
        """
        needs = self._context_needs()
        stage, needed = max(needs.items(), key=lambda item: item[1])
        limit = self._engine.context_length
        if needed > limit:
            raise ConfigError(
                f"the model's context of {limit} tokens is too short: the {stage} stage needs "
                f"{needed} (prompt and max_tokens); lower {stage}.sampling.max_tokens, "
                f"{'propose.in_context' if stage == 'propose' else stage + '.exemplars'}, "
                "or give another --model"
            )
        return min(limit, max(_LEAST_CONTEXT, needed + _SPARE_TOKENS + self.proposed.spare_tokens))

    def _context_needs(self) -> dict[str, int]:
        longest_task = max(self._seeds, key=len)
        requests = [
            *self.proposed.longest(),
            self.classify("", longest_task),
            self.instances("", longest_task, is_classification=True),
            self.instances("", longest_task, is_classification=False),
        ]
        if self._passages:
            requests.append(self._of_passage("", longest_task, self._passages.longest.passage))
        needs: dict[str, int] = {}
        for request in requests:
            tokens = self._tokens(request.prompt) + request.sampling.max_tokens
            needs[request.stage] = max(tokens, needs.get(request.stage, 0))
        return needs

    def _check_steering(self) -> None:
        """Raise ConfigError where the templates would ignore a setting of the user."""
        style = self.proposed.style
        name = style.templates[0] if style.templates else "propose"
        name = "propose_passage" if self._passages else name
        template = template_file(name, self._modes[Stage.PROPOSE])
        steering = {"domain": self._config.propose.domain, "topic": self._topics}
        for name, value in steering.items():
            if value and name not in self._prompts.files[template]:
                raise ConfigError(
                    f"{template}: does not use {name!r}, which is set; put {{{{ {name} }}}} into it"
                )
        chat = [stage for stage, mode in self._modes.items() if mode != "base"]
        if self._config.model.system and not {Stage.PROPOSE, Stage.INSTANCES} & set(chat):
            raise ConfigError(
                "model.system: a system prompt needs a chat template, and this model is prompted "
                "with raw text; leave it out, or use --prompting chat"
            )

    def _tokens(self, prompt: Prompt) -> int:
        return len(self._engine.encode(self._engine.render(prompt)))


def _others(exemplars: list[Exemplar], instruction: str) -> list[Exemplar]:
    """Return the exemplars without the task itself: a seed is not shown its own answer."""
    others = [exemplar for exemplar in exemplars if exemplar["instruction"] != instruction]
    return exemplars if len(others) == len(exemplars) else others
