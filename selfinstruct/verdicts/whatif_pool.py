"""Novelty judged again: which texts come into the pool or leave it, and whom that touches."""

from __future__ import annotations

import heapq
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.changes import HOLDS_KNOWN
from selfinstruct.filters.copies import words_of
from selfinstruct.filters.novelty.coded import CodedTexts, coded_texts
from selfinstruct.filters.novelty.holding import Holdings, splits_alike
from selfinstruct.filters.novelty.index import NOTHING_NEAR, NoveltyIndex
from selfinstruct.filters.novelty.joins import TextJoin
from selfinstruct.filters.novelty.tokens import CHOOSE_TOKENIZER, OWN_TOKENS, TOKENS
from selfinstruct.filters.outcomes import (
    ENGINE_ERROR,
    NO_INSTANCES,
    OVER_TARGET,
    PENDING_INSTANCES,
)
from selfinstruct.filters.rule import Of
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.filters.score_rules import LOW_LIKELIHOOD, NOT_NOVEL, TOO_LIKELY, UNSCORABLE
from selfinstruct.verdicts.whatif_columns import (
    CODES,
    PASSED_TEXT,
    Codes,
    Columns,
    give_back_memory,
)

_ACCEPTED, _NONE, _UNKNOWN = 0, -1, -2
_LOW, _HIGH = CODES[LOW_LIKELIHOOD.reason], CODES[TOO_LIKELY.reason]
_UNSCORABLE, _NOT_NOVEL = CODES[UNSCORABLE.reason], CODES[NOT_NOVEL.reason]
_HOLDS, _ENGINE_ERROR = CODES[HOLDS_KNOWN.reason], CODES[ENGINE_ERROR.reason]
_NO_INSTANCES, _OVER = CODES[NO_INSTANCES.reason], CODES[OVER_TARGET.reason]
_PENDING = CODES[PENDING_INSTANCES.reason]
_KEPT = (_ACCEPTED, _NO_INSTANCES, _PENDING)
# Texts that came in are compared one by one, until there are so many since they were indexed.
_FEW, _MORE = 500, 1.1

Near = tuple[float, int | None]
Bytes = NDArray[np.uint8]


class UnknownRulesError(Exception):
    """The run has rules or texts that are not judged by columns."""


class ChangedPool:
    """Which texts are in the pool now that were not, and the other way round.

    Texts are numbered as in `Columns.texts`: those that the run started from, then instructions.
    """

    def __init__(self, columns: Columns, config: RunConfig, recorded: RunConfig) -> None:
        rows, self._first = columns.instructions, len(columns.pool)
        self._columns, self._config, self._recorded = columns, config, recorded
        self._threshold = config.novelty.threshold
        self._floor = min(self._threshold, config.novelty.audit_floor)
        self._known_from = min(recorded.novelty.threshold, recorded.novelty.audit_floor)
        self._holds = _is_in_force(config)
        count = self._first + len(rows.outcome)
        # In the pool, for the candidate that is judged now.
        self._pool: Bytes = np.zeros(count, np.uint8)
        self._pool[: self._first] = 1
        self._touched = np.zeros(count, np.bool_)
        self._near_new = np.zeros(count, np.bool_)
        self._holds_new = np.zeros(count, np.bool_)
        self._score = np.where(rows.neighbour < 0, np.nan, rows.rouge_l)
        self._came: list[int] = []
        self._join_of_came: TextJoin | None = None
        self._indexed = 0  # how many of those that came in `_join_of_came` finds
        self._coded = self._coded_texts()
        self._check_texts()

    def judge(self, own: slice, likelihood: Codes) -> Codes:
        """Return why novelty rejects each instruction of a round; 0: it passes."""
        rows = self._columns.instructions
        recorded, score = rows.outcome[own], self._score[own]
        candidate = PASSED_TEXT[recorded] & (likelihood == _NONE)
        before = _novelty_of(recorded)
        was_pooled = PASSED_TEXT[recorded] & (before == _ACCEPTED)
        above = score > self._threshold
        touched = candidate & (before == _UNKNOWN)
        touched |= candidate & (above != (before == _NOT_NOVEL)) & (before != _UNSCORABLE)
        if self._threshold < self._known_from:
            touched |= candidate & np.isnan(score) & (before != _UNSCORABLE)
        touched |= was_pooled & ~candidate
        first = self._first + own.start
        here = self._touched[first : first + len(recorded)]
        here |= touched & PASSED_TEXT[recorded]
        codes = np.where(before == _UNKNOWN, _ACCEPTED, before).astype(np.int16)
        self._pool[first : first + len(recorded)] = candidate & (codes == _ACCEPTED)
        queue = np.flatnonzero(here).tolist()
        self._queue, self._end = queue, first + len(recorded)
        heapq.heapify(queue)
        while queue:
            place = heapq.heappop(queue)
            text, is_candidate = first + place, bool(candidate[place])
            if is_candidate:
                codes[place] = self._novelty(text, int(before[place]))
            passes = is_candidate and codes[place] == _ACCEPTED
            self._pool[text] = passes
            if passes != bool(was_pooled[place]):
                self._moved(text, came=passes, base=first)
        return codes

    def close(self, own: slice, surplus: NDArray[np.bool_]) -> None:
        """Take what is over the target out of the pool, before the next round."""
        rows, first = self._columns.instructions, self._first + own.start
        recorded = rows.outcome[own]
        self._queue, self._end = [], 0
        inside = self._pool[first : first + len(recorded)].astype(np.bool_)
        was_inside = PASSED_TEXT[recorded] & (_novelty_of(recorded) == _ACCEPTED)
        stays, stayed = inside & ~surplus, np.isin(recorded, _KEPT)
        self._pool[first : first + len(recorded)] = stays
        for place in np.flatnonzero((stays != stayed) & (inside == was_inside)).tolist():
            self._moved(first + place, came=bool(stays[place]), base=first)

    def nearest(self, row: int, outcome: int) -> Near:
        """Return ROUGE-L with the nearest text of the pool, as judging records both."""
        text = self._first + row
        if outcome == _HOLDS:
            held = self._holdings.held(text, self._pool)
            return self._nearest(text)[0], held
        return self._nearest(text)

    def _nearest(self, text: int) -> Near:
        row = text - self._first
        score, neighbour = self._score[row], int(self._columns.instructions.neighbour[row])
        holds = self._columns.instructions.outcome[row] == _HOLDS
        none_known = np.isnan(score) and self._known_from <= self._floor
        found: tuple[int, float] | None
        if holds or not (none_known or (neighbour >= 0 and self._pool[neighbour])):
            found = self._join.nearest(text, self._floor, self._pool)
        else:
            found = None if none_known or score <= self._floor else (neighbour, float(score))
            found = self._nearer_new(text, found)
        if found is not None:
            return found[1], found[0]
        nothing = NOTHING_NEAR.at(self._config.rules_version)
        return nothing(self._index.scorable(self._columns.text(text))), None

    def _nearer_new(self, text: int, known: tuple[int, float] | None) -> tuple[int, float] | None:
        """Return the nearest of what was near and of the texts that came in."""
        if not self._came:
            return known
        floor = self._floor if known is None else float(np.nextafter(known[1], 0))
        if len(self._came) > _MORE * self._indexed + _FEW:
            self._indexed = len(self._came)
            self._join_of_came = self._join.only(np.array(sorted(self._came), np.int64))
        others = [known]
        if self._join_of_came is not None:
            others.append(self._join_of_came.nearest(text, floor, self._pool))
        newest = np.array(sorted(self._came[self._indexed :]), np.int64)
        others.append(self._join.nearest_of(text, newest[self._pool[newest] == 1], floor))
        found = [one for one in others if one is not None]
        return max(found, key=lambda one: (one[1], -one[0])) if found else None

    def _novelty(self, text: int, before: int) -> int:
        """Judge one instruction; `before` is how novelty judged it when it was recorded."""
        if before == _UNSCORABLE or not len(self._coded.of(text)):
            return _UNSCORABLE
        if self._is_near(text, before):
            return _NOT_NOVEL
        return _HOLDS if self._holds and self._holds_other(text, before) else _ACCEPTED

    def _is_near(self, text: int, before: int) -> bool:
        row = text - self._first
        score, neighbour = self._score[row], int(self._columns.instructions.neighbour[row])
        if score > self._threshold:
            if before != _HOLDS and self._pool[neighbour]:
                return True
        elif not self._near_new[text] and not (
            np.isnan(score) and self._threshold < self._known_from
        ):
            return False
        return self._join.nearest(text, self._threshold, self._pool) is not None

    def _holds_other(self, text: int, before: int) -> bool:
        if before == _ACCEPTED and not self._holds_new[text]:
            return False
        held = int(self._columns.instructions.neighbour[text - self._first])
        if before == _HOLDS and self._pool[held]:
            return True
        return self._holdings.held(text, self._pool) is not None

    def _moved(self, text: int, *, came: bool, base: int) -> None:
        """Touch the candidates after a text that came into the pool, or went out of it."""
        if not came:
            self._touch(self._dependents(text), base)
            return
        self._came.append(text)
        near = self._join.later(text, self._threshold)
        self._near_new[near] = True
        self._touch(near, base)
        if self._holds:
            holders = np.array(self._holdings.holders(text), np.int64)
            self._holds_new[holders] = True
            self._touch(holders, base)

    def _touch(self, texts: NDArray[np.int64], base: int) -> None:
        for text in texts[~self._touched[texts]].tolist():
            if text < self._end:
                heapq.heappush(self._queue, text - base)
            self._touched[text] = True

    def _dependents(self, text: int) -> NDArray[np.int64]:
        """Return the candidates that were too near to a text, or held it."""
        order, sorted_neighbours = self._by_neighbour
        low, high = np.searchsorted(sorted_neighbours, [text, text + 1])
        return order[low:high]

    @cached_property
    def _by_neighbour(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        rows = self._columns.instructions
        known = np.flatnonzero(np.isin(rows.outcome, (_NOT_NOVEL, _HOLDS)))
        known = known[np.argsort(rows.neighbour[known], kind="stable")]
        return known + self._first, rows.neighbour[known]

    @cached_property
    def _index(self) -> NoveltyIndex:
        novelty = self._config.novelty
        return NoveltyIndex(novelty.threshold, novelty.tokenizer, self._config.rules_version)

    def _coded_texts(self) -> CodedTexts:
        version, setting = self._config.rules_version, self._config.novelty.tokenizer
        choose, split = CHOOSE_TOKENIZER.at(version), TOKENS.at(version)
        texts = self._columns.texts()
        coded = coded_texts(texts, lambda text: split(text, choose(text, setting)))
        give_back_memory()
        return coded

    @cached_property
    def _join(self) -> TextJoin:
        return TextJoin(self._coded, self._floor)

    @cached_property
    def _holdings(self) -> Holdings:
        coded = self._coded.split_otherwise(self._columns.text, words_of)
        return Holdings(coded, self._columns.text)

    def _check_texts(self) -> None:
        """Refuse texts whose tokens depend on what they are compared with, or where they stand."""
        if (self._columns.instructions.neighbour == _UNKNOWN).any():
            raise UnknownRulesError("a neighbour is no candidate of the run")
        others = self._coded.other.tolist()
        if not others:
            return
        version, setting = self._config.rules_version, self._config.novelty.tokenizer
        if not OWN_TOKENS.at(version) and setting == "auto":
            raise UnknownRulesError("texts are split as the text is that they are compared with")
        if self._holds and not splits_alike(map(self._columns.text, others)):
            raise UnknownRulesError("the words of a text depend on where its input begins")


def _novelty_of(recorded: Codes) -> Codes:
    """Return how novelty judged each; `_UNKNOWN` where its likelihood had rejected it before."""
    before = np.where(np.isin(recorded, (_UNSCORABLE, _NOT_NOVEL, _HOLDS)), recorded, _ACCEPTED)
    return np.where(np.isin(recorded, (_LOW, _HIGH)), _UNKNOWN, before).astype(np.int16)


def _is_in_force(config: RunConfig) -> bool:
    """Whether the run rejects instructions that hold another."""
    in_force = HOLDS_KNOWN in rules_in_force(Of.INSTRUCTION, config.rules_version)
    return in_force and HOLDS_KNOWN.is_on(config.rules)
