"""The counts of a run, and the rest of its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.audit.chats import count_chats
from selfinstruct.audit.revisions import count_revisions
from selfinstruct.audit.search import Filter, count_by_reason
from selfinstruct.audit.tables import TABLES
from selfinstruct.common.errors import StoreError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.counts import count
from selfinstruct.decisions.labels import read_labels
from selfinstruct.decisions.view import read_view
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.store import Run
from selfinstruct.store.commits import ANSWERS, SUPPLEMENTS
from selfinstruct.verdicts.advice import advice_on_round


@dataclass(frozen=True)
class Summary:
    """The counts of a run (docs/audit.md).

    Attributes:
        tasks: tasks with people's decisions applied.
        recorded_tasks: tasks that the rules accepted; the target counts these.
        candidates: the number of candidate instructions (a property).
        instructions: candidate instructions by `accepted` or reason, as judged.
        instances: candidate instances, likewise.
        standing: instructions with people's decisions applied, by outcome: `accepted`,
            `pending_instances`, `dropped`, or a reason.
        overrides: people's decisions that are in force, by action.
        waiting: restored instructions that have no instances yet.
        failed_requests: requests of the rounds that failed after all retries, by stage.
        conversations: conversations of the model with itself, by `accepted` or reason.
        turns: the turns that it wrote for them, likewise.
        revisions: revisions of outputs, likewise.
        advice: a hint if one reason rejects most candidates of the first round, or None.
        damaged: messages about damaged lines of people's decisions or ratings, or about a damaged
            configuration.
    """

    name: str
    model: str
    status: Mapping[str, Any]
    rounds: int
    tasks: int
    recorded_tasks: int
    target: int
    instructions: Mapping[str, int]
    instances: Mapping[str, int]
    standing: Mapping[str, int]
    answers: Mapping[str, int]
    tokens: Mapping[str, int]
    seconds: float
    engine_idle_share: float
    novelty_share: float
    yields: list[float]
    likelihood: Mapping[str, float | None]
    overrides: Mapping[str, int]
    waiting: int
    damaged: list[str]
    failed_requests: Mapping[str, int]
    advice: str | None
    conversations: Mapping[str, int]
    turns: Mapping[str, int]
    revisions: Mapping[str, int]

    @property
    def candidates(self) -> int:
        return sum(self.instructions.values())


def summarise(run: Run) -> Summary:
    """Count every candidate of a run; rejects by reason add up to the candidates."""
    infos = [run.info(number) for number in run.rounds()]
    instructions, instances = (count_by_reason(run, Filter(table)) for table in TABLES)
    view = read_view(run)
    counts, overrides = count(view), view.overrides
    written = {"tokens": dict, "seconds": float}
    later = [SUPPLEMENTS.info(run, n, written) for n in SUPPLEMENTS.numbers(run)]
    seconds = sum(info["seconds"] for info in [*infos, *later])
    novelty = sum(info.get("novelty_seconds", 0.0) for info in infos)
    idle = sum(info["engine_idle_share"] * info["seconds"] for info in infos)
    labels = read_labels(run)
    advice, unread = _advice(run) if infos else (None, [])
    return Summary(
        name=run.name,
        model=run.meta["model"]["name"],
        status=run.status(),
        rounds=len(infos),
        tasks=counts.tasks,
        recorded_tasks=counts.recorded_tasks,
        target=infos[-1]["target"] if infos else run.meta["config"]["stop"]["target"],
        instructions=instructions,
        instances=instances,
        standing=_by_size(counts.standing.instructions),
        answers=_count_answers(run),
        tokens={
            key: sum(info["tokens"][key] for info in [*infos, *later])
            for key in ("prompt", "generated")
        },
        seconds=seconds,
        engine_idle_share=idle / seconds if seconds else 0.0,
        novelty_share=novelty / seconds if seconds else 0.0,
        yields=[info["yield"] for info in infos],
        likelihood=infos[-1].get("likelihood", {}) if infos else {},
        overrides=dict(Counter(str(decision.action) for decision in overrides.current.values())),
        waiting=counts.awaited,
        damaged=[str(problem) for problem in (*overrides.damaged, *labels.damaged, *unread)],
        failed_requests=dict(sum((Counter(info.get("failed", {})) for info in infos), Counter())),
        advice=advice,
        **count_chats(run),
        revisions=count_revisions(run),
    )


def _advice(run: Run) -> tuple[str | None, list[StoreError]]:
    """Return what to do where one reason takes most of the first round's candidates.

    A configuration that cannot be read gives no advice, and is returned: the counts stand without
    it.
    """
    try:
        config = stored_config(run)
    except StoreError as damage:
        return None, [damage]
    advice = advice_on_round(run.instructions(0), config)
    return str(advice) if advice else None, []


def _by_size(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by outcome, `accepted` first, then the most."""
    order = sorted(counts, key=lambda outcome: (outcome != ACCEPTED, -counts[outcome], outcome))
    return {outcome: counts[outcome] for outcome in order}


def _count_answers(run: Run) -> dict[str, int]:
    """Count the answers of other models by verdict or reason."""
    infos = (ANSWERS.info(run, number) for number in ANSWERS.numbers(run))
    return dict(sum((Counter(info["answers"]) for info in infos), Counter()))
