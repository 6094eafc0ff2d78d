"""Ids: only this file makes and parses them.

    seed:<id>, avoid:<n>          a text that a run starts from
    r00003-p012                   a proposal: round, place
    r00003-p012-i04               an instruction of it
    r00003-p012-i04-n0            an instance of it
    r00003-p012-i04-n0-a00000     another model's answer to it, in batch 0
    r00003-p012-i04-n0-a00000-vote02, …-hint    a vote on that answer, a second attempt with a hint
    r00003-t002-i04, …-n0         an imported instruction (round, template, item), an instance of it
    r00003-p012-i04-n0-j00000     what a judge says of it, in batch 0; …-q1: its second question
    r00003-p012-i04-typed         an output that a person typed
    r00003-p012-i04-c0            a self-chat that the task opens, the first one
    r00003-p012-i04-c0-t2         its third turn; the task and its output are t0 and t1
    r00003-p012-i04-n0-v0         the first time that an output is revised, as a whole
    r00003-p012-i04-n0-v0-s1      its first revision; s0 is the draft
    …-critique, …-revise          the request for the critique, the rewrite of that step
    …-propose, …-classify, …-instances, …-answer    the request about the id before it
    …-user, …-reply               the request for that turn of the user, of the assistant
    …-score                       the request that scores it
    r00003-p012-i04-k02           a task of known kind (the templates' exemplar 2), asked about
                                  when this instruction was the first to be classified

Other programs rely on ids (they are a contract): they do not change.
"""

from __future__ import annotations

import re

_PLACED = re.compile(r"r\d{5,}-[pt]\d+-i\d+(-n\d+)?")
_CHAT = re.compile(r"(r\d{5,}-[pt]\d+-i\d+-c\d+)(?:-t\d+)?")
_NUMBERS = re.compile(r"\d+")
_ANSWER = re.compile(r"-a\d{5,}(-hint)?$")
_ATTEMPT = re.compile(r"(-a\d{5,})(-vote\d+|-hint)?$")
_REVISION = re.compile(r"-v\d+-s\d+$")


def seed(id: str) -> str:
    """Return the pool id of a seed task of a file."""
    return f"seed:{id}"


def avoid(number: int) -> str:
    """Return the pool id of a text to avoid, counted from 1."""
    return f"avoid:{number}"


def origin(pool_id: str) -> str:
    """Return whether a text that a run starts from is a `seed` or one to `avoid`."""
    return pool_id.split(":", maxsplit=1)[0]


def proposal(round: int, number: int) -> str:
    return f"r{round:05d}-p{number:03d}"


def template(round: int, number: int) -> str:
    """Return what stands for a proposal in the ids of imported instructions."""
    return f"r{round:05d}-t{number:03d}"


def instruction(proposal: str, item: int) -> str:
    return f"{proposal}-i{item:02d}"


def instance(instruction: str, number: int) -> str:
    return f"{instruction}-n{number}"


def answer(instance: str, batch: int) -> str:
    """Return the id of another model's answer to an instance."""
    return f"{instance}-a{batch:05d}"


def vote(answer: str, number: int) -> str:
    """Return the id of one of the sampled completions that vote on an answer, counted from 0."""
    return f"{answer}-vote{number:02d}"


def hinted(answer: str) -> str:
    """Return the id of the second attempt at an answer, with the known answer as a hint."""
    return f"{answer}-hint"


def answer_of(attempt: str) -> str:
    """Return the answer of a vote or of a hinted attempt; an answer's id is returned as it is."""
    return _ATTEMPT.sub(r"\1", attempt)


def answered_by(answer: str) -> str:
    """Return the id of the instance that an answer, a vote or a hinted attempt is about."""
    return _ATTEMPT.sub("", answer)


def judged(instance: str, batch: int) -> str:
    """Return the id of what a judge says of an instance."""
    return f"{instance}-j{batch:05d}"


def judge_question(judgement: str, number: int) -> str:
    """Return the id of one question to a judge, counted from 0."""
    return f"{judgement}-q{number}"


def judgement_of(question: str) -> str:
    """Return the judgement that a question belongs to."""
    return re.sub(r"-q\d+$", "", question)


def judged_by(judgement: str) -> str:
    """Return the instance that a judgement is about."""
    return re.sub(r"-j\d{5,}$", "", judgement)


def chat(instruction: str, number: int) -> str:
    """Return the id of a self-chat that an instruction opens."""
    return f"{instruction}-c{number}"


def turn(chat: str, number: int) -> str:
    """Return the id of a turn of a self-chat, counted from 0."""
    return f"{chat}-t{number}"


def chat_of(id: str) -> str | None:
    """Return the self-chat of its own id, or of the id of one of its turns; None for other ids."""
    match = _CHAT.fullmatch(id)
    return match[1] if match else None


def turn_number(id: str) -> int | None:
    """Return the number in the id of a turn; None for other ids."""
    match = re.search(r"-t(\d+)$", id)
    return int(match[1]) if match else None


def is_answer(id: str) -> bool:
    """Whether it is the id of another model's answer to an instance."""
    return _ANSWER.search(id) is not None


def revised(owner: str, number: int) -> str:
    """Return the id of one time that an output is revised, by its instance's or instruction's."""
    return f"{owner}-v{number}"


def revision(series: str, step: int) -> str:
    """Return the id of a step of it: 0 is the draft."""
    return f"{series}-s{step}"


def is_revision(id: str) -> bool:
    """Whether it is the id of a draft that is revised, or of a revision."""
    return _REVISION.search(id) is not None


def typed(instruction: str) -> str:
    """Return the id of the instance that a person typed for an instruction."""
    return f"{instruction}-typed"


def request(about: str, stage: str) -> str:
    """Return the id of the request of a stage about something."""
    return f"{about}-{stage}"


def score(id: str) -> str:
    """Return the id of the request that scores the text of an id."""
    return f"{id}-score"


def about(request: str, stage: str) -> str:
    """Return what a request of a stage is about."""
    return request.removesuffix(f"-{stage}")


def proposal_of(instruction: str) -> str:
    return instruction.rsplit("-", 1)[0]


def instruction_of(id: str) -> str:
    """Return the instruction of an instance's id; an instruction's id is returned as it is."""
    return re.sub(r"-n\d+$", "", id)


def is_candidate(id: str) -> bool:
    """Whether an id has the form of an instruction's or an instance's."""
    return _PLACED.fullmatch(id) is not None


def known_task(instruction: str, number: int) -> str:
    """Return the id of an exemplar of the templates that is classified with an instruction."""
    return f"{instruction}-k{number:02d}"


def known_task_number(id: str) -> int | None:
    """Return the number of the exemplar in the id of a task of known kind; None for other ids."""
    match = re.search(r"-k(\d+)$", id)
    return int(match[1]) if match else None


def order(id: str) -> tuple[int, ...]:
    """Return the numbers of an id (round, proposal, item, instance), to sort by.

    As strings, `r00000-p1000-i00` would stand before `r00000-p101-i00`.
    """
    return tuple(map(int, _NUMBERS.findall(id)))


def renumbered(id: str, offset: int) -> str:
    """Return an id after its run's rounds moved up by `offset`."""
    return re.sub(r"^r(\d+)", lambda match: f"r{int(match[1]) + offset:05d}", id)


def calibration(kind: str, what: str | int) -> str:
    """Return the id of calibration texts of a kind: a list of them, or a seed's pool id."""
    return f"calibration-{kind}-{what}"


def sampled(prompt: str, number: int) -> str:
    """Return the id of one of a policy's answers to a prompt."""
    return f"{prompt}-a{number}"


def reference(prompt: str) -> str:
    """Return the id of a prompt's accepted output among its sampled answers."""
    return f"{prompt}-reference"


def evaluated(number: int) -> str:
    """Return the id of an evaluated task, by its place."""
    return f"eval-{number}"


def evaluated_answer(number: int, sample: int) -> str:
    return f"{evaluated(number)}-answer-{sample}"


def question(number: int) -> str:
    """Return the id of a question with choices, by its place."""
    return f"choice-{number}"


def pair(number: int) -> str:
    """Return the id of a ranked pair of answers, by its place."""
    return f"pair-{number}"


def pair_of(first: str, second: str) -> str:
    """Return the id of two answers that are compared."""
    return f"{first}-{second}"


def option(owner: str, place: int) -> str:
    """Return the id of one of the texts that are ranked, by its place."""
    return f"{owner}-{place}"


def harness(number: int) -> str:
    """Return the id of what lm-evaluation-harness asks, by its place."""
    return f"lm-eval-{number}"


def passage(number: int) -> str:
    """Return the id of a passage of plain text, by its place."""
    return f"passage-{number}"


def passage_end(number: int) -> str:
    """Return the id of the request to end a passage."""
    return f"{passage(number)}-end"


def document_passage(document: str, number: int, digest: str) -> str:
    """Return the id of a passage of a document, by its place and its content."""
    return f"{document}#{number}-{digest}"


def judgement(number: int, order: int, verdict: str) -> str:
    """Return the id of a judged duel, in one order, for one verdict."""
    return f"judge-{number}-{order}-{verdict}"


def duel(first: str, second: str, task: str) -> str:
    """Return the id of a comparison of two models' answers to a task."""
    return f"{first}-{second}-{task}"


def example(owner: str, number: int | str) -> str:
    """Return the id of one of several training rows of a seed, a prompt or a line."""
    return f"{owner}-{number}"


def line(number: int) -> str:
    """Return the id of a line of a user's file."""
    return f"line-{number}"
