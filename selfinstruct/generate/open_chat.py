"""One self-chat while its completions arrive."""

from __future__ import annotations

from selfinstruct.common import ids
from selfinstruct.common.chats import ChatTurn
from selfinstruct.common.records import Completion, Request, Stage
from selfinstruct.engines.base import scoring_request
from selfinstruct.generate.chat_requests import ChatRequests
from selfinstruct.verdicts.chat_turns import ChatSettings, check_turn
from selfinstruct.verdicts.chats import Opening
from selfinstruct.verdicts.rulebook import Rulebook


class OpenChat:
    """A self-chat from its opening to its last completion.

    Args:
        opening: the task's two turns.
        requests: writes the requests.
        rulebook: config and templates of the run.
        settings: what it is judged by.
        context: of the started engine, in tokens.
    """

    def __init__(
        self,
        opening: Opening,
        requests: ChatRequests,
        rulebook: Rulebook,
        settings: ChatSettings,
        context: int,
    ) -> None:
        self.opening = opening
        self._requests = requests
        self._rulebook = rulebook
        self._settings = settings
        self._context = context
        self._turns: list[ChatTurn] = list(opening.turns)
        self._completions: dict[str, Completion] = {}
        self._pending: set[str] = set()
        self._started = False

    @property
    def finished(self) -> bool:
        """Whether it was started, and nothing more comes."""
        return self._started and not self._pending

    @property
    def failed(self) -> bool:
        """Whether the engine failed on a turn for good: then it is no self-chat, and owed again."""
        return any(
            completion.error is not None and completion.request.stage is not Stage.SCORE
            for completion in self._completions.values()
        )

    def completions(self) -> list[Completion]:
        """Return every completion, turn by turn; scores stand behind what they score."""
        return sorted(
            self._completions.values(),
            key=lambda c: (ids.order(c.id), c.request.stage is Stage.SCORE),
        )

    def start(self) -> list[Request]:
        """Return the first request; none if the model's context has no room for it."""
        self._started = True
        return self._submitted(self._next())

    def take(self, completion: Completion) -> list[Request]:
        """Keep a completion; return the requests that follow from it."""
        self._pending.discard(completion.id)
        self._completions[completion.id] = completion
        if completion.error is not None or completion.request.stage is Stage.SCORE:
            return []
        turn = check_turn(completion, self._turns, self._rulebook, self._settings)
        requests = self._to_score(completion)
        if turn.reason is None:
            self._turns.append(turn)
            requests += self._next()
        return self._submitted(requests)

    def _next(self) -> list[Request]:
        """Return the request for the next turn, if there is to be one."""
        if len(self._turns) >= 2 * self._settings.turns:
            return []
        request = self._requests.next_turn(self._turns)
        return [request] if self._requests.has_room(request, self._context) else []

    def _to_score(self, completion: Completion) -> list[Request]:
        """Ask for the log-probabilities of a completion that the engine returned without them."""
        lacks = completion.token_logprobs is None and completion.token_ids
        if not lacks or not self._requests.can_score:
            return []
        return [scoring_request(completion.id, completion.request.prompt, completion.token_ids)]

    def _submitted(self, requests: list[Request]) -> list[Request]:
        self._pending.update(request.id for request in requests)
        return requests
