"""Run golden runs on, and write down what they ask and what comes of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq

from selfinstruct.common.progress import silent
from selfinstruct.config.values import nested
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers
from selfinstruct.generate.answer import answer
from selfinstruct.generate.complete import complete
from selfinstruct.generate.converse import converse
from selfinstruct.generate.launch import launch
from selfinstruct.generate.revise import revise
from selfinstruct.prompts.principles import Principle
from selfinstruct.store import Run, open_run
from selfinstruct.store.chats import ChatCommit, read_chat_commits
from selfinstruct.store.commits import ANSWERS, CONVERSATIONS, REVISED
from selfinstruct.store.revisions import RevisionCommit, read_revision_commits
from selfinstruct.store.supplements import read_supplements
from selfinstruct.verdicts.counts import count_outcomes
from selfinstruct.verdicts.whatif import Thresholds, what_if
from tests.golden.adapter import GoldenEngine, completion_record, digest, request_record
from tests.golden.runs import TEACHER, Golden

PRINCIPLES = tuple(
    Principle(name, f"A good answer is {name}.", f"Say where it is not {name}.", f"Be {name}.")
    for name in ("calm", "brief", "exact")
)
# High enough that no round ends at the target: two more rounds are always wanted.
FAR = 10_000


def engine_of(golden: Golden) -> GoldenEngine:
    return GoldenEngine(golden.voice, golden.can, golden.voice.thought if golden.thinks else None)


def generate(
    out: Path,
    golden: Golden,
    settings: Mapping[str, Any],
    *,
    resume: bool,
    engine: GoldenEngine | None = None,
) -> tuple[Run, GoldenEngine]:
    """Run the loop, on the golden run's own engine; return the engine, for what it was asked."""
    engine = engine or engine_of(golden)
    run, _ = launch(
        out,
        nested(settings),
        resume=resume,
        make_engine=lambda *_: engine,
        listen=silent,
    )
    return run, engine


def ask_all(run: Run, golden: Golden, batch_size: int = 256) -> GoldenEngine:
    """Have the waiting instructions of a run completed."""
    engine = engine_of(golden)
    complete(
        run,
        make_engine=lambda *_: engine,
        model_progress=lambda *_: None,
        advance=lambda *_: None,
        batch_size=batch_size,
    )
    return engine


def answer_all(run: Run, golden: Golden, prompting: str, batch_size: int = 256) -> GoldenEngine:
    """Have the tasks of a run answered by the teacher."""
    engine = GoldenEngine(golden.voice)
    answer(
        run,
        {
            "model": {"name": TEACHER, "prompting": prompting},
            "instances": {"sampling": {"max_tokens": 99}},
        },
        make_engine=lambda *_: engine,
        model_progress=lambda *_: None,
        advance=lambda *_: None,
        batch_size=batch_size,
    )
    return engine


def converse_all(run: Run, golden: Golden, turns: int, batch_size: int = 8) -> GoldenEngine:
    """Have the tasks of a run carried on as self-chats."""
    engine = engine_of(golden)
    converse(
        run,
        {"converse": {"turns": turns}},
        make_engine=lambda *_: engine,
        model_progress=lambda *_: None,
        advance=lambda *_: None,
        batch_size=batch_size,
    )
    return engine


def revise_all(
    run: Run, golden: Golden, settings: Mapping[str, Any], batch_size: int = 4
) -> GoldenEngine:
    """Have the outputs of a run revised, by principles of these tests."""
    engine = engine_of(golden)
    with patch("selfinstruct.generate.revise.BATCH", batch_size):
        revise(
            run,
            {"revise": dict(settings)},
            PRINCIPLES,
            make_engine=lambda *_: engine,
            model_progress=lambda *_: None,
            advance=lambda *_: None,
        )
    return engine


def read_back(run: Run) -> dict[str, Any]:
    """Return a digest of everything that is recorded in a run, part by part."""
    parts: dict[str, Any] = {
        "rounds": [
            _part(run.completions(number), run.instructions(number), run.instances(number))
            for number in run.rounds()
        ],
        "supplements": [
            _part(one.completions, one.instructions, one.instances) for one in read_supplements(run)
        ],
        "answers": [
            _part(ANSWERS.read_completions(run, number), [], ANSWERS.read_instances(run, number))
            for number in ANSWERS.numbers(run)
        ],
        "calibration": digest(
            [
                [one.from_round, str(one.kind), one.seed_id, number_of(one.mean_logprob)]
                for one in run.calibration()
            ]
        ),
    }
    # Runs of before self-chats or revisions have no such part.
    chats = [_chat_part(run, commit) for commit in read_chat_commits(run)]
    revisions = [_revision_part(run, commit) for commit in read_revision_commits(run)]
    parts |= {"conversations": chats} if chats else {}
    return {**parts, "revisions": revisions} if revisions else parts


def grow(folder: Path, golden: Golden) -> dict[str, Any]:
    """Resume a copy of a run for two rounds; return what was asked and how it was judged."""
    before = open_run(folder).rounds()
    settings = {
        "stop.target": FAR,
        "stop.max_rounds": len(before) + 2,
        "stop.min_yield": 0.0,
        "stop.max_tokens": None,
    }
    run, engine = generate(folder, golden, settings, resume=True)
    new = run.rounds()[len(before) :]
    return {
        **requests_of(engine),
        "rounds": [
            _part(run.completions(number), run.instructions(number), run.instances(number))
            for number in new
        ],
    }


def complete_more(folder: Path, golden: Golden) -> dict[str, Any]:
    """Complete a copy of a run; return what was asked and how it was judged."""
    run = open_run(folder)
    before = len(read_supplements(run))
    engine = ask_all(run, golden)
    new = read_supplements(run)[before:]
    return {
        **requests_of(engine),
        "supplements": [_part(one.completions, one.instructions, one.instances) for one in new],
    }


def answer_more(folder: Path, golden: Golden) -> dict[str, Any]:
    """Have a copy of a run answered, by raw text; return what was asked and how it was judged."""
    run = open_run(folder)
    before = ANSWERS.numbers(run)
    engine = answer_all(run, golden, "base")
    new = [number for number in ANSWERS.numbers(run) if number not in before]
    return {
        **requests_of(engine),
        "answers": [
            _part(ANSWERS.read_completions(run, number), [], ANSWERS.read_instances(run, number))
            for number in new
        ],
    }


def converse_more(folder: Path, golden: Golden) -> dict[str, Any]:
    """Write other self-chats on a copy of a run; return what was asked and how it was judged."""
    run = open_run(folder)
    before = CONVERSATIONS.numbers(run)
    engine = converse_all(run, golden, 2)
    new = [commit for commit in read_chat_commits(run) if commit.number not in before]
    return {**requests_of(engine), "conversations": [_chat_part(run, one) for one in new]}


def revise_more(folder: Path, golden: Golden) -> dict[str, Any]:
    """Revise a copy of a run in another way; return what was asked and how it was judged."""
    run = open_run(folder)
    before = REVISED.numbers(run)
    engine = revise_all(run, golden, {"rounds": 3, "labels": True})
    new = [commit for commit in read_revision_commits(run) if commit.number not in before]
    return {**requests_of(engine), "revisions": [_revision_part(run, one) for one in new]}


ASKS: Mapping[str, Callable[[Path, Golden], dict[str, Any]]] = {
    "complete": complete_more,
    "answer": answer_more,
    "converse": converse_more,
    "revise": revise_more,
}


def exports(
    run: Run, folder: Path, formats: Iterable[str] = tuple(Format)
) -> dict[str, dict[str, str]]:
    """Return a digest of every export of a run.

    Of Parquet files the schema and the rows count, not the bytes: those name the version of
    Arrow that wrote them.
    """
    found: dict[str, dict[str, str]] = {}
    teachers = (Answers.TEACHER, Answers.PREFER_TEACHER) if ANSWERS.numbers(run) else ()
    revised = (Answers.REVISION, Answers.PREFER_REVISION) if REVISED.numbers(run) else ()
    for answers in (Answers.OWN, *teachers, *revised):
        for format in map(Format, formats):
            out = folder / f"{answers}.{format}"
            export(run, format, out, answers)
            if format is Format.PARQUET:
                table = pq.read_table(out)
                content = digest([str(table.schema), [plain_row(row) for row in table.to_pylist()]])
            else:
                content = hashlib.sha256(out.read_bytes()).hexdigest()
            found.setdefault(str(answers), {})[str(format)] = content
    return found


def judged_otherwise(run: Run) -> dict[str, Any]:
    """Return the counts of a what-if, as recorded and by other thresholds."""
    found = what_if(run, Thresholds(rouge=0.4, min_logprob=-1.7))
    counts = ("before", "after", "instances_before", "instances_after")
    return {name: dict(sorted(getattr(found, name).items())) for name in counts}


def requests_of(engine: GoldenEngine) -> dict[str, Any]:
    """Return what an engine was asked, by id; sampling parameters stand apart, by their digest."""
    found: dict[str, Any] = {}
    samplings: dict[str, Any] = {}
    for request in engine.requests:
        record = request_record(engine, request)
        id, sampling = record.pop("id"), record.pop("sampling")
        samplings[digest(sampling)] = sampling
        found[id] = {**record, "sampling": digest(sampling)}
    return {"asked": found, "samplings": samplings}


def _chat_part(run: Run, commit: ChatCommit) -> dict[str, Any]:
    """Return counts and digests of one commit of self-chats."""
    completions = CONVERSATIONS.read_completions(run, commit.number)
    return {
        "completions": len(completions),
        "chats": count_outcomes(commit.chats),
        "turns": count_outcomes(commit.turns),
        "text": digest(_ordered(map(completion_record, completions))),
        "verdicts": digest(
            [
                [one.id, one.instance_id, one.opened_by, one.exchanges, one.ended, one.reason]
                for one in commit.chats
            ]
            + [[one.id, one.role, one.text, one.reason, one.shared_with] for one in commit.turns]
        ),
        "scores": digest(
            [
                [one.id, number_of(one.mean_logprob), number_of(one.shared), one.num_tokens]
                for one in commit.turns
            ]
        ),
    }


def _revision_part(run: Run, commit: RevisionCommit) -> dict[str, Any]:
    """Return counts and digests of one commit of revisions."""
    completions = REVISED.read_completions(run, commit.number)
    return {
        "completions": len(completions),
        "outcomes": count_outcomes(commit.rows),
        "text": digest(_ordered(map(completion_record, completions))),
        "verdicts": digest(
            [
                [
                    *(one.id, one.instance_id, one.principle, one.draft, one.critique),
                    *(one.text, one.reason, one.char_start, one.char_end),
                ]
                for one in commit.rows
            ]
        ),
        "scores": digest(
            [[one.id, number_of(one.mean_logprob), one.num_tokens] for one in commit.rows]
        ),
    }


def _part(
    completions: Sequence[Any], instructions: Sequence[Any], instances: Sequence[Any]
) -> dict[str, Any]:
    """Return counts and digests of one commit: of its text, its verdicts, its scores."""
    return {
        "completions": len(completions),
        "instructions": count_outcomes(instructions),
        "instances": count_outcomes(instances),
        "text": digest(_ordered(map(completion_record, completions))),
        "verdicts": digest(
            _ordered(
                [
                    [row.id, row.verdict, row.reason and str(row.reason), row.text, row.parents]
                    for row in instructions
                ]
                + [
                    [row.id, row.verdict, row.reason and str(row.reason), row.input, row.output]
                    for row in instances
                ]
            )
        ),
        "scores": digest(
            _ordered(
                [
                    [
                        row.id,
                        *map(
                            number_of,
                            (row.mean_logprob, row.rouge_l, row.logprob_threshold, row.threshold),
                        ),
                        row.neighbour_id,
                        row.novelty_tokenizer,
                        row.is_classification,
                        row.char_start,
                        row.char_end,
                    ]
                    for row in instructions
                ]
                + [
                    [
                        row.id,
                        *map(
                            number_of,
                            (
                                row.mean_logprob,
                                row.input_logprob,
                                row.logprob_threshold,
                                row.threshold,
                                row.conditional_gain,
                            ),
                        ),
                        row.kind and str(row.kind),
                        row.answer_to,
                        row.output_char_start,
                        row.output_char_end,
                    ]
                    for row in instances
                ]
            )
        ),
    }


def _ordered(rows: Iterable[list[Any]]) -> list[list[Any]]:
    return sorted(rows, key=lambda row: row[0])


def number_of(value: float | None) -> float | str | None:
    """Return a number as it is compared: to nine places, NaN by name."""
    if value is None:
        return None
    return "nan" if math.isnan(value) else round(value, 9)


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: number_of(value) if isinstance(value, float) else value for key, value in row.items()
    }
