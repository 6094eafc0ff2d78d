"""One round while its completions come in: what is asked, what has come, what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.common import ids
from selfinstruct.common.records import Completion, InstructionCandidate, Request, Stage
from selfinstruct.config.schema import RunConfig
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.prompts import PromptLibrary
from selfinstruct.verdicts.candidates import with_scores
from selfinstruct.verdicts.parse import PARSE_LABEL
from selfinstruct.verdicts.pool import Standards
from selfinstruct.verdicts.rounds import (
    Verdicts,
    check_instance_scores,
    check_instance_texts,
    check_instructions,
    final_verdicts,
    read_instances_of,
)

_STAGE_ORDER = {Stage.PROPOSE: 0, Stage.CLASSIFY: 1, Stage.INSTANCES: 2, Stage.SCORE: 3}


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
        self.checked = False
        self._config = config
        self._prompts = prompts
        self._builder = builder
        self._proposals = list(proposals)
        self._candidates: list[InstructionCandidate] = []
        self._passed: dict[str, InstructionCandidate] = {}
        self._completions: dict[str, Completion] = {}
        self._pending = {request.id for request in proposals}
        self._wanted = len(self._pending)

    @property
    def pending(self) -> list[str]:
        """Ids of the requests that have not come back."""
        return sorted(self._pending, key=ids.order)

    @property
    def ready_to_check(self) -> bool:
        return not self.checked and not self._pending

    @property
    def finished(self) -> bool:
        return self.checked and not self._pending

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

    def check(self, standards: Standards) -> list[Request]:
        """Judge the instructions, pool those that pass; return what to ask next."""
        scored = with_scores(self._completions)
        done = [scored[request.id] for request in self._proposals]
        self._candidates = check_instructions(
            done, self.number, self._config, self._prompts, standards
        )
        return self.ask([c for c in self._candidates if c.verdict is None])

    def ask(self, passed: Sequence[InstructionCandidate]) -> list[Request]:
        """Return the first requests for instructions that passed."""
        self._passed = {candidate.id: candidate for candidate in passed}
        self.checked = True
        # Each needs a second request, for its instances, once it is classified.
        self._wanted += 2 * len(self._passed)
        requests = [self._builder.classify(c.id, c.text) for c in self._passed.values()]
        self._pending.update(
            ids.request(id, stage)
            for id in self._passed
            for stage in (Stage.CLASSIFY, Stage.INSTANCES)
        )
        return requests

    def take(self, completion: Completion) -> list[Request]:
        """Note a completion; return the requests that follow from it."""
        self._pending.discard(completion.id)
        self._completions[completion.id] = completion
        if completion.request.stage is Stage.CLASSIFY:
            candidate = self._passed[completion.request.about]
            parse_label = PARSE_LABEL.at(self._config.rules_version)
            label = parse_label(completion.text, self._prompts.markers)
            return [self._builder.instances(candidate.id, candidate.text, is_classification=label)]
        requests = self._to_score(completion)
        self._pending.update(request.id for request in requests)
        self._wanted += len(requests)
        return requests

    def _to_score(self, completion: Completion) -> list[Request]:
        """Return what must be scored afterwards, since generating did not."""
        if completion.request.stage is Stage.SCORE:
            return []
        requests = self._builder.missing_scores(completion)
        if completion.request.stage is Stage.INSTANCES and self._config.likelihood.gain:
            candidate = self._passed[completion.request.about]
            markers = self._prompts.markers
            rows = check_instance_texts(candidate, completion, self._config, markers, {})
            requests += self._builder.without_task(rows, completion)
        return requests

    def verdicts(self, standards: Standards, room: int) -> Verdicts:
        """Return the last verdicts, with `room` more tasks wanted."""
        labels, parsed = read_instances_of(
            list(self._passed.values()),
            with_scores(self._completions),
            self._config,
            self._prompts.markers,
        )
        instances = check_instance_scores(parsed, self.number, self._config, standards.thresholds)
        return final_verdicts(self._candidates, labels, instances, room=room)

    def completions(self) -> list[Completion]:
        """Return every completion in a fixed order: by stage, then by id."""
        return sorted(
            self._completions.values(),
            key=lambda c: (_STAGE_ORDER[c.request.stage], ids.order(c.id)),
        )
