"""One round while its completions come in: what is asked, what has come, what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.config import RunConfig
from selfinstruct.decide import Verdicts, judge_instances, judge_instructions, settle
from selfinstruct.filters.novelty import NoveltyIndex
from selfinstruct.parse import parse_label
from selfinstruct.prompts import PromptLibrary
from selfinstruct.records import (
    ACCEPTED,
    Completion,
    InstructionCandidate,
    Request,
    Stage,
    id_order,
)
from selfinstruct.requests import RequestBuilder

_STAGE_ORDER = {Stage.PROPOSE: 0, Stage.CLASSIFY: 1, Stage.INSTANCES: 2}


class OpenRound:
    """A round from its proposals to its verdicts. Indifferent to the order of completions."""

    def __init__(
        self,
        number: int,
        config: RunConfig,
        prompts: PromptLibrary,
        builder: RequestBuilder,
        proposals: Sequence[Request],
    ) -> None:
        self.number = number
        self.judged = False
        self._config = config
        self._prompts = prompts
        self._builder = builder
        self._proposals = list(proposals)
        self._candidates: list[InstructionCandidate] = []
        self._passed: dict[str, InstructionCandidate] = {}
        self._labels: dict[str, bool] = {}
        self._completions: dict[str, Completion] = {}
        self._pending = {request.id for request in proposals}
        self._wanted = len(self._pending)

    @property
    def pending(self) -> list[str]:
        """Ids of the requests that have not come back."""
        return sorted(self._pending, key=id_order)

    @property
    def ready_to_judge(self) -> bool:
        return not self.judged and not self._pending

    @property
    def complete(self) -> bool:
        return self.judged and not self._pending

    @property
    def passed(self) -> int:
        """Instructions that passed every rule so far."""
        return len(self._passed)

    @property
    def done_of_wanted(self) -> tuple[int, int]:
        """Requests that have come back, of those that this round is known to need."""
        return self._wanted - len(self._pending), self._wanted

    def owns(self, id: str) -> bool:
        return id in self._pending

    def judge(self, index: NoveltyIndex) -> list[Request]:
        """Judge the instructions, add those that pass to the index; return what to ask next."""
        done = [self._completions[request.id] for request in self._proposals]
        self._candidates = judge_instructions(done, self.number, self._config, self._prompts, index)
        self._passed = {c.id: c for c in self._candidates if c.verdict == ACCEPTED}
        self.judged = True
        # Each needs a second request, for its instances, once it is classified.
        self._wanted += 2 * len(self._passed)
        requests = [self._builder.classify(candidate) for candidate in self._passed.values()]
        self._pending.update(
            id for request in requests for id in (request.id, _instances_id(request.id))
        )
        return requests

    def take(self, completion: Completion) -> list[Request]:
        """Note a completion; return the requests that follow from it."""
        self._pending.discard(completion.id)
        self._completions[completion.id] = completion
        if completion.request.stage is not Stage.CLASSIFY:
            return []
        candidate = self._passed[completion.id.removesuffix("-classify")]
        label = parse_label(completion.text, self._prompts.markers)
        self._labels[candidate.id] = label
        return [self._builder.instances(candidate, label)]

    def verdicts(self, room: int) -> Verdicts:
        """Return the last verdicts, with `room` more tasks wanted."""
        instances = {
            candidate.id: judge_instances(
                candidate,
                self._completions[f"{candidate.id}-instances"],
                self._config,
                self._prompts.markers,
            )
            for candidate in self._passed.values()
        }
        return settle(self._candidates, self._labels, instances, room=room)

    def completions(self) -> list[Completion]:
        """Return every completion in a fixed order: by stage, then by id."""
        return sorted(
            self._completions.values(),
            key=lambda c: (_STAGE_ORDER[c.request.stage], id_order(c.id)),
        )


def _instances_id(classify_id: str) -> str:
    return f"{classify_id.removesuffix('-classify')}-instances"
