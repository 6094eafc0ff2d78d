"""The records that flow through the stages: one frozen dataclass each.

A stage takes a list of one record and returns a list of the next. Records are never changed in
place: a later verdict is a new record, made with `dataclasses.replace`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from selfinstruct.common import ids
from selfinstruct.common.sampling import SamplingConfig

NAN = math.nan
ACCEPTED = "accepted"
REJECTED = "rejected"


class Stage(StrEnum):
    """What a request asks the model for."""

    PROPOSE = "propose"
    CLASSIFY = "classify"
    INSTANCES = "instances"
    ANSWER = "answer"
    USER = "user"
    REPLY = "reply"
    JUDGE = "judge"
    CRITIQUE = "critique"
    REVISE = "revise"
    SCORE = "score"


LOOP_STAGES = (Stage.PROPOSE, Stage.CLASSIFY, Stage.INSTANCES)


class Kind(StrEnum):
    """The kinds of text that the likelihood filter checks; each has a threshold of its own."""

    INSTRUCTION = "instruction"
    OUTPUT = "output"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Instance:
    """One worked example of a task."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class SeedTask:
    """A human-written task; `id` is the file's own, pool ids are `seed:<id>`."""

    id: str
    name: str
    instruction: str
    instances: tuple[Instance, ...]
    is_classification: bool | None

    @property
    def pool_id(self) -> str:
        return ids.seed(self.id)


class Message(TypedDict):
    """One turn of a conversation, as chat templates want it.

    `tool_calls` are the calls of an assistant's turn. A turn of the role `tool` holds a result, and
    `name` or `tool_call_id` say of which call.
    """

    role: str
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Markers:
    """The words that templates and parser agree on; a user's templates bring their own."""

    input: str = "Input:"
    output: str = "Output:"
    label: str = "Label:"
    classification: str = "label"
    no_input: tuple[str, ...] = ("none", "n/a", "no input", "<none>", "<noinput>")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Servers that serve one model over HTTP.

    urls: their API roots, such as `http://host:8000/v1`.
    served: the name under which they serve the model.
    server: the server's kind and version, such as `vllm 0.32.0`; `unknown` where it is not told.
    """

    urls: tuple[str, ...]
    served: str
    server: str

    @property
    def is_vllm(self) -> bool:
        return self.server.startswith("vllm ")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's folder, or the servers that serve it (`endpoint`; `path` means nothing then).

    `digest` identifies the files that decide the content of a run; of a served model, what its
    server tells. `prompting` is the mode that suits the model in each stage, where that is known.
    """

    name: str
    path: Path
    digest: str
    config: Mapping[str, Any]
    prompting: Mapping[str, str] | None = None
    endpoint: Endpoint | None = None

    @property
    def context_length(self) -> int:
        """Longest context that the model was made for, in tokens."""
        text = self.config.get("text_config") or self.config
        return int(text.get("max_position_embeddings") or 2048)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns that the engine renders with the model's chat template.

    opened: the beginning of the model's own turn, which the model continues; empty for a new turn.
    thinking: whether the model thinks first, if it can.
    as_user: whether the model writes the user's next turn: the text ends where that turn begins.
    """

    messages: tuple[Message, ...]
    opened: str = ""
    thinking: bool = False
    as_user: bool = field(default=False, repr=False)


Prompt = str | Conversation
"""A text that the model continues, or a conversation that it answers.

A text has no BOS: the engine adds it for a model that needs one.
"""


class Form(StrEnum):
    """What a completion consists of."""

    LIST = "list"
    LABEL = "label"
    INPUT_FIRST = "input_first"
    OUTPUT_FIRST = "output_first"
    WHOLE = "whole"
    FIELDS = "fields"
    TASK = "task"
    MESSAGE = "message"


# What a proposal may consist of: a list of tasks, tasks with input and constraints, one task, or
# a user's message.
PROPOSED = (Form.LIST, Form.FIELDS, Form.TASK, Form.MESSAGE)


# Journals of open rounds know a request by its repr (store/open_rounds.py): a field that came later
# has none, and its value follows from the request's template and prompt.
@dataclass(frozen=True, slots=True)
class Reading:
    """How the text of a completion is to be read.

    form: what it consists of.
    opened: the marker that the prompt ended with, if any: the text continues after it.
    first_number: in a list, the number of the first new item.
    continues: in a list, whether the prompt ended with that number; otherwise the text may start
        with a preamble. In fields, whether it ended with the label of the instruction.
    tag: in a list, the text before every item, such as the domain of the tasks; before one task,
        its label; in a turn of a self-chat, the name of the speaker before it.
    source: the id of the passage that it is about, or empty.
    given: the input that is known already (a passage; the input of the task that is put in other
        words): it is not in the text.
    operation: how a task is rewritten (config/styles.py), or empty.
    """

    form: Form
    opened: str | None = None
    first_number: int = 1
    continues: bool = False
    tag: str = ""
    source: str = ""
    given: str = ""
    operation: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for the engine, what it is about, and how to read its completion.

    `about` is the id of a proposal, an instruction, an instance or a text. `template` names the
    template of the prompt. `seed` seeds the sampling of this request alone, whatever else is in the
    batch. `parents` are the pool ids shown in a proposal. A request with `scored` writes nothing:
    the engine scores these token ids as if the model had written them after the prompt.
    """

    id: str
    about: str
    stage: Stage
    reading: Reading
    prompt: Prompt
    sampling: SamplingConfig
    seed: int = 0
    template: str = ""
    parents: tuple[str, ...] = ()
    scored: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The engine's reply to a request.

    `prompt` is the text that the model saw, BOS and chat markup included, where the engine knows
    it. `token_logprobs` are natural logarithms under the unmodified model distribution, one per
    token id. `token_starts` and `token_ends` give the characters of `text` that each token wrote,
    as half-open ranges; a token that is part of a character has the range of the character, and a
    special token has an empty range. `thinking` is kept apart and is in no span.
    `counted_tokens` is the server's count of what it wrote, where it returns no token ids.
    """

    request: Request
    text: str
    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...] | None
    token_starts: tuple[int, ...]
    token_ends: tuple[int, ...]
    finish_reason: str
    num_prompt_tokens: int
    thinking: str | None = None
    error: str | None = None
    prompt: str | None = None
    counted_tokens: int = 0

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def num_output_tokens(self) -> int:
        """Tokens that the model wrote, its thinking included; 0 where it only scored."""
        if self.request.scored is not None:
            return 0
        return len(self.token_ids) or self.counted_tokens


@dataclass(frozen=True, slots=True)
class ParsedInstruction:
    """One task that a proposal's completion holds; `cut`: chat around it.

    `is_rest`: it is all that follows the last item that is read. `text` ends with the
    `constraints`, if there are any; `raw` is the instruction alone. `input` is None where a
    proposal of its form has none.
    """

    start: int
    end: int
    raw: str
    text: str
    truncated: bool
    cut: str | None = None
    is_rest: bool = False
    input: str | None = None
    input_span: tuple[int, int] = (0, 0)
    constraints: str | None = None
    constraints_span: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class ParsedInstance:
    """One input and output; a span is (0, 0) where the completion wrote none.

    `cut` holds the chat around them that is in neither. `is_rest`: the output is all that follows
    the last instance that is read.
    """

    input: str
    output: str
    input_span: tuple[int, int]
    output_span: tuple[int, int]
    truncated: bool
    cut: str | None = None
    is_rest: bool = False


@dataclass(frozen=True, slots=True)
class CalibrationScore:
    """A row of calibration.parquet: the score of a seed task's text, from a round on."""

    from_round: int
    kind: Kind
    seed_id: str
    mean_logprob: float
    num_tokens: int
    unscored_reason: str | None = None


@dataclass(frozen=True, slots=True)
class InstructionCandidate:
    """A row of instructions.parquet. `char_start:char_end` is `raw_text` in its completion.

    It has no verdict until it is checked; then it is `accepted`, or `rejected` for one `reason`
    (filters/rules.py lists them). `logprob_threshold` is the least `mean_logprob` that it needed,
    in nats per token. `template` names what made an imported one,
    `source_id` the passage that one is about. `operation` says how a task was rewritten.
    `input` and `constraints` were proposed with it, and have spans of their own in its completion;
    `text` ends with the constraints.
    """

    id: str
    round: int
    completion_id: str
    char_start: int
    char_end: int
    raw_text: str
    text: str
    parents: tuple[str, ...]
    is_classification: bool | None = None
    mean_logprob: float = NAN
    num_tokens: int = 0
    unscored_reason: str | None = None
    logprob_threshold: float | None = None
    novelty_tokenizer: str | None = None
    rouge_l: float = NAN
    neighbour_id: str | None = None
    verdict: str | None = None
    reason: str | None = None
    threshold: float | None = None
    cut: str | None = None
    template: str | None = None
    source_id: str | None = None
    operation: str | None = None
    input: str | None = None
    input_char_start: int | None = None
    input_char_end: int | None = None
    constraints: str | None = None
    constraints_char_start: int | None = None
    constraints_char_end: int | None = None


@dataclass(frozen=True, slots=True)
class InstanceCandidate:
    """A row of instances.parquet. `mean_logprob` is the output's: the likelihood filter uses it.

    An answer of another model (`answer_to`) has the input of the instance that it answers.
    `conditional_gain` is None if the config does not ask for it, and NaN (with
    `gain_unscored_reason`) if it could not be computed. An imported one has the `template` that
    made it, the `source_id` of its row of the data, and those of the rows `shown` as examples. One
    about a passage has the passage as its input, and its id as `source_id`.
    """

    id: str
    instruction_id: str
    round: int
    completion_id: str
    input_char_start: int
    input_char_end: int
    output_char_start: int
    output_char_end: int
    input: str
    output: str
    input_logprob: float = NAN
    output_logprob: float = NAN
    mean_logprob: float = NAN
    num_tokens: int = 0
    unscored_reason: str | None = None
    kind: Kind | None = None
    logprob_threshold: float | None = None
    conditional_gain: float | None = None
    gain_unscored_reason: str | None = None
    verdict: str | None = None
    reason: str | None = None
    threshold: float | None = None
    answer_to: str | None = None
    cut: str | None = None
    template: str | None = None
    source_id: str | None = None
    shown: tuple[str, ...] | None = None
