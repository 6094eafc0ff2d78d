"""Which passage is the subject of which proposal, and which worked passages it shows.

The passages are dealt like cards: each pass deals all of them in an order of its own, drawn from
(run seed, pass). So at any time no passage was used more than once more often than another. The
place in the deal follows from round and proposal, so a resumed run continues it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import RunConfig
from selfinstruct.inputs.documents import Passage


@dataclass(frozen=True, slots=True)
class DrawnPassage:
    """The passage of a proposal, and the worked ones that it shows."""

    passage: Passage
    exemplars: Sequence[Mapping[str, Any]]


class PassageDraw:
    """Deals the passages of a run to its proposals; false if the run has none.

    Raises:
        ConfigError: the templates show no worked passages.
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        exemplars: Sequence[Mapping[str, Any]],
        config: RunConfig,
    ) -> None:
        if passages and not exemplars:
            raise ConfigError(
                "prompts.yaml: has no `passages` to show as examples, which --documents needs; add "
                "some (docs/documents.md)"
            )
        self._passages = passages
        self._by_id = {passage.id: passage for passage in passages}
        self._exemplars = exemplars
        self._config = config
        self._orders: dict[int, list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._passages)

    def by_id(self, id: str) -> Passage:
        """Return a passage.

        Raises:
            ConfigError: the run does not have it.
        """
        if id not in self._by_id:
            raise ConfigError(f"{id}: the run has no such passage in inputs/passages.jsonl")
        return self._by_id[id]

    def of(self, round: int, number: int) -> DrawnPassage:
        """Return what a proposal is about."""
        place = round * self._config.propose.most + number
        deal, card = divmod(place, len(self._passages))
        draws = random.Random(derive_seed(self._config.seed, round, "exemplars", number))
        count = min(self._config.passages.exemplars, len(self._exemplars))
        shown = draws.sample(list(self._exemplars), count)
        return DrawnPassage(self._passages[self._order(deal)[card]], shown)

    @property
    def longest(self) -> DrawnPassage:
        """The longest passage with the longest exemplars: what the context must have room for."""
        by_length = sorted(self._exemplars, key=lambda one: -len(str(one)))
        passage = max(self._passages, key=lambda passage: len(passage.text))
        return DrawnPassage(passage, by_length[: self._config.passages.exemplars])

    def _order(self, deal: int) -> list[int]:
        if deal not in self._orders:
            order = list(range(len(self._passages)))
            random.Random(derive_seed(self._config.seed, "passages", deal)).shuffle(order)
            self._orders = {deal: order}  # proposals come in order: one is enough
        return self._orders[deal]
