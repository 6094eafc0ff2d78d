"""Give the recorded completions of a run verdicts again, and compare with the recorded ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, fields
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.records import Completion, InstanceCandidate
from selfinstruct.decisions.view import by_round
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import RoundData, Run
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.chats import read_chat_commits
from selfinstruct.store.commits import ANSWERS, CONVERSATIONS, JUDGED, REVISED, Commit
from selfinstruct.store.revisions import read_revision_commits
from selfinstruct.store.supplements import each_supplement
from selfinstruct.verdicts import revision_commits
from selfinstruct.verdicts.chat_commits import ChatThresholds, judge_again
from selfinstruct.verdicts.imported import import_rulebook, verdicts_of_import
from selfinstruct.verdicts.judgements import VERSION, judgement_of, rubric_of
from selfinstruct.verdicts.later import verdict_on_answer, verdicts_of_supplement
from selfinstruct.verdicts.own_answers import by_answer, method_of, verdicts_on_attempts
from selfinstruct.verdicts.pool import PoolKeeper, Standards
from selfinstruct.verdicts.rounds import Verdicts, verdicts_of_round
from selfinstruct.verdicts.rulebook import Rulebook

# Columns that older runs lack: made before Unicode words, or before the likelihood filter.
_ADDED = {"novelty_tokenizer", "kind"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A field whose recorded and replayed values differ.

    `field` is `row` if the candidate is only in the record, or only in the replay.
    """

    id: str
    field: str
    recorded: Any
    replayed: Any


def replay(run: Run, advance: Callable[[int], object] = id) -> list[Difference]:
    """Return every difference between the recorded verdicts and new ones.

    Args:
        run: the run; its stored config, seeds and templates are used.
        advance: called with the number of each round that is replayed.
    """
    config, inputs = stored_config(run), stored_inputs(run)
    rulebook = Rulebook(config, inputs.prompts)
    keeper = PoolKeeper(inputs.first_pool, config, calibration_starts(run))
    tasks = 0
    differences: list[Difference] = []
    for number in run.rounds():
        recorded = run.read_round(number)
        room = recorded.info["target"] - tasks
        verdicts = _verdicts_again(recorded, rulebook, keeper.standards, room)
        differences += _compare(recorded.instructions, verdicts.instructions)
        differences += _compare(recorded.instances, verdicts.instances)
        tasks += verdicts.tasks
        keeper.close_round(verdicts.instructions)
        advance(number)
    for supplement in each_supplement(run):
        thresholds = keeper.standards.thresholds
        differences += _replay_supplement(run, supplement, rulebook, thresholds)
    differences += _replay_answers(run, rulebook)
    differences += _replay_chats(run, rulebook)
    differences += _replay_judgements(run)
    return differences + _replay_revisions(run, rulebook)


def _verdicts_again(
    recorded: RoundData, rulebook: Rulebook, standards: Standards, room: int
) -> Verdicts:
    """Give verdicts on a round from its completions, or on an import from its texts."""
    number = recorded.number
    if recorded.imported:
        rows = Verdicts(list(recorded.instructions), list(recorded.instances))
        own = import_rulebook(rulebook, recorded.info)
        return verdicts_of_import(rows, number, own, standards, room=room)
    return verdicts_of_round(recorded.completions, number, rulebook, standards, room=room)


def _replay_supplement(
    run: Run, supplement: Commit, rulebook: Rulebook, thresholds: LikelihoodThresholds
) -> list[Difference]:
    """Compare the verdicts on instances that were written later."""
    names = {row.id for row in supplement.instructions}
    numbers = sorted({row.round for row in supplement.instructions})
    rows = [row for number in numbers for row in run.instructions(number) if row.id in names]
    last, restored = supplement.info["last_round"], supplement.restored
    verdicts = verdicts_of_supplement(
        rows, supplement.completions, last, rulebook, thresholds, restored
    )
    return [
        *_compare(supplement.instructions, verdicts.instructions),
        *_compare(supplement.instances, verdicts.instances),
    ]


def _replay_answers(run: Run, rulebook: Rulebook) -> list[Difference]:
    """Compare the verdicts on the answers of other models, and on a model's own."""
    ANSWERS.verify(run)
    differences: list[Difference] = []
    for number in ANSWERS.numbers(run):
        recorded = ANSWERS.read_answers(run, number)
        completions = ANSWERS.read_completions(run, number)
        method = method_of(ANSWERS.info(run, number))
        groups = by_answer(completions)
        tasks, answered = _answered(run, {*map(ids.answered_by, groups)})
        replayed: list[AnswerCandidate] = []
        for id, own in groups.items():
            instance = answered.get(ids.answered_by(id))
            if instance is None:
                continue
            text = tasks[instance.instruction_id]
            if method is None:
                replayed += [verdict_on_answer(text, instance, one, rulebook) for one in own]
            else:
                replayed += verdicts_on_attempts(text, instance, own, method, rulebook)
        differences += _compare(recorded, replayed)
    return differences


def _answered(run: Run, instances: Set[str]) -> tuple[dict[str, str], dict[str, InstanceCandidate]]:
    """Return the texts of the instructions of answered instances, and the instances, by id."""
    tasks: dict[str, str] = {}
    answered: dict[str, InstanceCandidate] = {}
    wanted = {ids.instruction_of(id) for id in instances}
    for number, names in by_round(run, wanted).items():
        tasks |= {row.id: row.text for row in run.instructions(number, names)}
        answered |= {row.id: row for row in run.instances(number, names)}
    for later in each_supplement(run, completions=False):
        answered |= {row.id: row for row in later.instances if row.instruction_id in wanted}
    return tasks, answered


def _replay_chats(run: Run, rulebook: Rulebook) -> list[Difference]:
    """Compare the verdicts on self-chats and their turns."""
    CONVERSATIONS.verify(run)
    thresholds = ChatThresholds(rulebook.config)
    differences: list[Difference] = []
    for commit in read_chat_commits(run):
        completions = CONVERSATIONS.read_completions(run, commit.number)
        verdicts = judge_again(run, commit, completions, rulebook, thresholds)
        differences += _compare(commit.chats, verdicts.chats)
        differences += _compare(commit.turns, verdicts.turns)
    return differences


def _replay_judgements(run: Run) -> list[Difference]:
    """Compare what is read in the replies of judges."""
    JUDGED.verify(run)
    differences: list[Difference] = []
    for number in JUDGED.numbers(run):
        rubric, version = rubric_of(run, number), JUDGED.info(run, number)[VERSION]
        replies: dict[str, list[Completion]] = {}
        for one in JUDGED.read_completions(run, number):
            replies.setdefault(ids.judgement_of(one.request.about), []).append(one)
        _, judged = _answered(run, {*map(ids.judged_by, replies)})
        again = [
            judgement_of(judged[ids.judged_by(id)], number, own, rubric, version)
            for id, own in replies.items()
            if ids.judged_by(id) in judged
        ]
        recorded = JUDGED.read_judgements(run, number)
        differences += _compare(recorded, [row for row in again if row is not None])
    return differences


def _replay_revisions(run: Run, rulebook: Rulebook) -> list[Difference]:
    """Compare the verdicts on drafts and revisions."""
    REVISED.verify(run)
    differences: list[Difference] = []
    for commit in read_revision_commits(run):
        completions = REVISED.read_completions(run, commit.number)
        replayed = revision_commits.judge_again(commit, completions, rulebook)
        differences += _compare(commit.rows, replayed)
    return differences


def _compare(recorded: Sequence[Any], replayed: Sequence[Any]) -> list[Difference]:
    before = {row.id: row for row in recorded}
    after = {row.id: row for row in replayed}
    differences = []
    for id in sorted({*before, *after}):
        old, new = before.get(id), after.get(id)
        if old is None or new is None:
            differences.append(Difference(id, "row", old is not None, new is not None))
            continue
        for field in fields(old):
            old_value, new_value = getattr(old, field.name), getattr(new, field.name)
            if old_value is None and field.name in _ADDED:
                continue
            if not _equal(old_value, new_value):
                differences.append(Difference(id, field.name, old_value, new_value))
    return differences


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)
