"""Requests for the turns of a self-chat: the model writes as the user, then answers itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfinstruct.common import ids
from selfinstruct.common.chats import ASSISTANT, USER, ChatTurn, role_of
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import (
    Conversation,
    Form,
    Message,
    Prompt,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.converse import ConverseConfig
from selfinstruct.config.schema import RunConfig
from selfinstruct.engines.base import Engine
from selfinstruct.generate.requests import PLAIN
from selfinstruct.prompts.chat_template import with_system
from selfinstruct.prompts.chats import BASE_TEMPLATE, USER_TEMPLATE, ChatPrompts, Turn
from selfinstruct.verdicts.chats import request_id, stage_of

_LEAST_CONTEXT = 2048
# Between examples of the raw template.
_END = "\n###"


class ChatRequests:
    """Turns a self-chat so far into the request for its next turn.

    Args:
        config: the run's rules; model and sampling of replies are those of the model that writes.
        converse: settings of the self-chats.
        prompts: templates and words.
        engine: renders and counts prompts; it need not be started.
        modes: `base`, `chat` or `plain`, for each stage of the loop. The user is asked for as
            proposals are, since both are a user's words, and a reply as instances are.
    """

    def __init__(
        self,
        config: RunConfig,
        converse: ConverseConfig,
        prompts: ChatPrompts,
        engine: Engine,
        modes: Mapping[str, str],
    ) -> None:
        self._config = config
        self._converse = converse
        self._prompts = prompts
        self._engine = engine
        self._modes = {
            Stage.USER: modes[Stage.PROPOSE],
            Stage.REPLY: modes[Stage.INSTANCES],
        }

    @property
    def can_score(self) -> bool:
        """Whether the engine scores given tokens."""
        return self._engine.capabilities.score

    @property
    def system(self) -> str | None:
        """The system prompt of replies; raw text has none."""
        config = self._config
        if self._modes[Stage.REPLY] == "base":
            return None
        return config.model.system or config.instances.direct_system

    def next_turn(self, turns: Sequence[ChatTurn]) -> Request:
        """Ask for the turn after these."""
        number, chat_id = len(turns), turns[0].chat_id
        id, stage = request_id(chat_id, number), stage_of(number)
        shown = [Turn(turn.role, turn.text) for turn in turns]
        prompt, template, opened = self._prompt(stage, shown)
        name = self._prompts.speakers[role_of(number)]
        return Request(
            id=id,
            about=ids.turn(chat_id, number),
            stage=stage,
            reading=Reading(Form.WHOLE, opened=opened, tag=name),
            prompt=prompt,
            sampling=self._sampling(stage, raw=isinstance(prompt, str)),
            seed=derive_seed(self._config.seed, id),
            template=template,
        )

    def _prompt(self, stage: Stage, turns: Sequence[Turn]) -> tuple[Prompt, str, str | None]:
        """Return prompt, name of the template, and the name that the prompt ends with, if any."""
        speaker = USER if stage is Stage.USER else ASSISTANT
        mode, name = self._modes[stage], self._prompts.speakers[speaker]
        if mode == "base":
            return self._prompts.text(turns, speaker), BASE_TEMPLATE, name
        if stage is Stage.REPLY:
            messages = [Message(role=turn.role, content=turn.text) for turn in turns]
            messages = with_system(messages, self.system) if self.system else messages
            thinking = self._config.model.thinking
            return Conversation(tuple(messages), thinking=thinking), "", None
        can_open = self._engine.capabilities.continues and mode != PLAIN
        messages = self._prompts.user_messages(turns, can_open=can_open)
        opened = messages.pop()["content"] if messages[-1]["role"] == ASSISTANT else ""
        return Conversation(tuple(messages), opened=opened), USER_TEMPLATE, opened or None

    def _sampling(self, stage: Stage, *, raw: bool) -> SamplingConfig:
        if stage is Stage.USER:
            sampling = self._converse.user_sampling
        else:
            sampling = self._config.instances.sampling
        names = tuple(f"\n{name}" for name in self._prompts.speakers.values())
        # A chat template ends a reply by itself; whoever plays the user may go on as both.
        stop = (*names, _END) if raw else names if stage is Stage.USER else ()
        return sampling.model_copy(update={"stop": (*stop, *sampling.stop)})

    def has_room(self, request: Request, context: int) -> bool:
        """Whether a prompt and its longest completion fit into a context, in tokens."""
        return self._tokens(request) <= context

    def context_of(self, openings: Sequence[Sequence[ChatTurn]]) -> int:
        """Return a context length for these self-chats, in tokens, as far as the model has it.

        Raises:
            ConfigError: none of them has room for its first new turn and a reply.
        """
        first = [self._tokens(self.next_turn(turns)) for turns in openings]
        limit = self._engine.context_length
        reply, user = self._config.instances.sampling, self._converse.user_sampling
        if min(first) + reply.max_tokens > limit:
            raise ConfigError(
                f"the model's context of {limit} tokens is too short: the shortest self-chat with "
                f"one more exchange needs {min(first) + reply.max_tokens}; lower "
                "instances.sampling.max_tokens, or give another --model"
            )
        more = (self._converse.turns - 1) * (user.max_tokens + reply.max_tokens)
        return min(limit, max(_LEAST_CONTEXT, max(first) + more))

    def _tokens(self, request: Request) -> int:
        prompt = self._engine.encode(self._engine.render(request.prompt))
        return len(prompt) + request.sampling.max_tokens
