"""`selfinstruct audit show|verify`: one candidate with its context; whether a run is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from selfinstruct.cli.cells import deep_plain, number, per_round
from selfinstruct.cli.console import plain, stdout
from selfinstruct.cli.decide import AsJson, CandidateId, RunFolder
from selfinstruct.common.controls import json_text
from selfinstruct.common.texts import amount

if TYPE_CHECKING:
    from rich.text import Text

    from selfinstruct.audit.answers import AnswerDetail
    from selfinstruct.audit.candidate import Detail, Neighbour
    from selfinstruct.audit.chats import ChatDetail
    from selfinstruct.audit.completions import Asked
    from selfinstruct.audit.revisions import SeriesDetail
    from selfinstruct.decisions.overrides import Override


def show(run: RunFolder, id: CandidateId, as_json: AsJson = False) -> None:
    """Show one candidate: text, scores, neighbour, lineage, instances, prompt, decisions.

    For a conversation, it shows all turns with their verdicts; for one of its turns, also the
    prompt. For an answer of `selfinstruct answer`, it shows every vote; for a revision, the draft,
    all critiques and all revisions.

    Example:
        selfinstruct audit show outputs/first r00000-p000-i00
    """
    from selfinstruct.audit.answers import answers_to, show_answer
    from selfinstruct.audit.candidate import show_candidate
    from selfinstruct.audit.chats import show_chat
    from selfinstruct.audit.revisions import show_series
    from selfinstruct.common import ids
    from selfinstruct.store import open_run

    if ids.chat_of(id):
        chat = show_chat(open_run(run), id)
        if as_json:
            print(json_text(deep_plain(asdict(chat)), indent=2))
        else:
            _print_chat(chat)
        return
    opened = open_run(run)
    if ids.is_answer(id):
        answer = show_answer(opened, id)
        if as_json:
            print(json_text(deep_plain(asdict(answer)), indent=2))
        else:
            _print_answer(answer)
        return
    if ids.is_revision(id):
        series = show_series(opened, id)
        if as_json:
            print(json_text(deep_plain(asdict(series)), indent=2))
        else:
            _print_series(series)
        return
    detail = show_candidate(opened, id)
    if as_json:
        print(json_text(deep_plain(asdict(detail)), indent=2))
        return
    _print_detail(detail)
    for row in answers_to(opened, id):
        _part(f"answer {row['id']}: {_outcome_of_answer(row)}", row["output"])


def verify(run: RunFolder, as_json: AsJson = False) -> None:
    """Verify the checksum of every file, and every decision and rating; exit code 4 on damage.

    Example:
        selfinstruct audit verify outputs/first
    """
    from selfinstruct.audit.verify import verify_run
    from selfinstruct.store import open_run

    opened = open_run(run)
    with per_round(opened, "checking", quiet=as_json) as advance:
        verified = verify_run(opened, advance)
    if as_json:
        told = {"rounds": verified.rounds, "files": verified.files}
        problems = [str(problem) for problem in verified.problems]
        print(json_text({**told, "problems": problems}, indent=2))
    else:
        for problem in verified.problems:
            _say(str(problem))
        rounds, files = amount(verified.rounds, "round"), amount(verified.files, "file")
        _say(f"{rounds}, {files}, {len(verified.problems)} damaged")
    if verified.problems:
        raise typer.Exit(4)


def _print_detail(detail: Detail) -> None:
    row = detail.row
    recorded = row["reason"] or row["verdict"]
    changed = "" if detail.outcome == recorded else f" (recorded: {recorded})"
    _say(f"{row['id']}: {detail.outcome}{changed}, round {row['round']}")
    if detail.table == "instructions":
        _part("text", row["text"])
        if row["raw_text"] != row["text"]:
            _part("as the model wrote it", row["raw_text"])
        _print_proposed(row)
    else:
        assert detail.instruction is not None
        _part(f"instruction {detail.instruction['id']}", detail.instruction["text"])
        _part("input", row["input"])
        _part("output", row["output"])
    if row["cut"]:
        _part("cut off around it", row["cut"])
    _print_origin(row)
    for check in detail.checks:
        held = {True: "held", False: "failed", None: "not judged"}[check.passed]
        score = number(check.score) or "none"
        _say(f"{check.name}: {score}, threshold {number(check.threshold) or 'none'}: {held}")
    if detail.neighbour is not None:
        _print_neighbour(detail.neighbour, row["text"])
    for title, texts in (("parents", [f"{one.id}: {one.text}" for one in detail.parents]),):
        if texts:
            _part(title, "\n".join(texts))
    if detail.children_total:
        _part(f"children ({detail.children_total})", " ".join(detail.children))
    for one in detail.instances:
        outcome = one["reason"] or one["verdict"]
        _part(f"instance {one['id']}: {outcome}", f"{one['input']}\n→ {one['output']}".strip())
    _print_requests(detail.asked, detail.overrides)


def _print_chat(detail: ChatDetail) -> None:
    row = detail.row
    recorded = row["reason"] or row["verdict"]
    changed = "" if detail.outcome == recorded else f" (recorded: {recorded})"
    _say(f"{row['id']}: {detail.outcome}{changed}, {row['exchanges']} exchanges")
    _say(f"ended: {row['ended']}; both sides by {detail.model['name']}")
    accepted = "the rules" if row["opened_by"] == "rules" else "a person"
    novelty = number(row["rouge_l"]) or "none"
    _say(f"opened by {row['instance_id']}, accepted by {accepted}; ROUGE-L: {novelty}")
    for turn in detail.turns:
        score = number(turn["mean_logprob"])
        scored = f", {score} nats/token" if score else ""
        if turn["shared_with"]:
            scored += f", shares {turn['shared']:.2f} with {turn['shared_with']}"
        _part(f"{turn['role']} {turn['id']}: {turn['outcome']}{scored}", turn["text"])
    _print_requests(detail.asked, detail.overrides)


def _print_answer(detail: AnswerDetail) -> None:
    row = detail.row
    _say(f"{row['id']}: {_outcome_of_answer(row)}, by {detail.model['name']}")
    _part("instruction", detail.instruction)
    for name, text in (("input", row["input"]), ("output", row["output"])):
        _part(name, text)
    _part(f"the run's own output ({row['answer_to']})", detail.known)
    for vote in detail.votes:
        final = "no final answer" if vote.final_answer is None else vote.final_answer
        _say(f"{vote.id} ({vote.finish_reason}): {final}")
    _print_requests(detail.asked, [])


def _outcome_of_answer(row: Mapping[str, Any]) -> str:
    """Return the outcome of an answer, with its agreement and whether it had a hint."""
    parts = [str(row["reason"] or row["verdict"])]
    if row["agreement"] is not None:
        parts.append(f"agreement {row['agreement']:.2f} of {row['votes']} votes")
    if row["hinted"]:
        parts.append("with the known answer as a hint")
    return ", ".join(parts)


def _print_series(detail: SeriesDetail) -> None:
    draft, *steps = detail.rows
    _part(f"task {draft['instruction_id']}", f"{draft['instruction']}\n{draft['input']}".strip())
    _part(f"draft {draft['id']}: {draft['reason'] or draft['verdict']}", draft["text"])
    for row in steps:
        _part(f"critique by {row['principle']}", row["critique"] or "")
        _part(f"revision {row['id']}: {row['reason'] or row['verdict']}", row["text"])
    _say(f"critiques and revisions by {detail.model['name']}")
    _print_requests(detail.asked, ())


def _print_requests(requests: Sequence[Asked], overrides: Sequence[Override]) -> None:
    for asked in requests:
        sampling = json.dumps(dict(asked.sampling))
        template = f", {asked.template}" if asked.template else ""
        _part(f"{asked.id}{template}, seed {asked.seed}, {sampling}", asked.prompt)
        _part(f"its completion ({asked.finish_reason})", asked.text)
    for entry in overrides:
        why = f": {entry.note}" if entry.note else ""
        _say(f"{entry.at} {entry.action} by {entry.by}{why}")


def _print_proposed(row: Mapping[str, Any]) -> None:
    """Print what the styles of proposal add to an instruction."""
    if row["operation"] is not None:
        _say(f"rewritten from its parent, operation: {row['operation']}")
    for name in ("input", "constraints"):
        if row[name]:
            _part(f"{name} proposed with it", row[name])


def _print_origin(row: Mapping[str, Any]) -> None:
    """Print what an imported candidate was made of, or the passage that one is about."""
    if row["template"] is None:
        if row["source_id"] is not None:
            _say(f"about the passage {row['source_id']} of the documents")
        return
    _say(f"imported by the template {row['template']}")
    if row.get("source_id"):
        shown = f", shown as examples: {', '.join(row['shown'])}" if row["shown"] else ""
        _say(f"row of the data: {row['source_id']}{shown}")


def _print_neighbour(near: Neighbour, own: str) -> None:
    """Print both texts with their common tokens underlined, and the tokens themselves."""
    common = len(near.marks)
    counts = f"{common} common of {near.own_tokens} and {near.tokens} tokens"
    _say(f"neighbour {near.id} ({near.outcome}), ROUGE-L {near.rouge_l:.3f}: {counts}")
    stdout.print("  ", _marked(own, near.own_marks), soft_wrap=True)
    stdout.print("  ", _marked(near.text, near.marks), soft_wrap=True)
    words = " ".join(plain(own[start:end]) for start, end in near.own_marks)
    _say(f"   common: {words}")


def _marked(text: str, marks: Sequence[tuple[int, int]]) -> Text:
    from rich.text import Text

    shown = Text(plain(text))
    for start, end in marks:
        shown.stylize("bold underline", start, end)
    return shown


def _part(title: str, text: str) -> None:
    _say(f"{title}:")
    for line in text.splitlines() or ["(nothing)"]:
        _say(f"   {line}")


def _say(text: str) -> None:
    stdout.print(plain(text), markup=False, highlight=False, soft_wrap=True)
