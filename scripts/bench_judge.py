"""How long a completion of a megabyte takes from text to verdict: parsed, checked, and compared.

    python scripts/bench_judge.py --characters 1000000

Each text is one piece repeated, {n} in it being a number that rises. It stands for a proposal, for
one long task of a list, an answer, an input, or all that a model wrote as instances. Prints the
processor seconds of each version of the rules, the slowest last: the least of some repeats. The
templates are read and the pool is filled beforehand, as in a run. Texts of many candidates are
counted apart: each of them has a verdict, and its row.
"""

from __future__ import annotations

import argparse
import ast
import time
from collections.abc import Callable
from functools import partial

from selfinstruct.common.records import Completion, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.common.versions import RULES_VERSION
from selfinstruct.config.values import build_config
from selfinstruct.prompts import PromptLibrary, load_prompts
from selfinstruct.verdicts.pool import first_standards
from selfinstruct.verdicts.rounds import Verdicts, verdicts_of_round
from selfinstruct.verdicts.rulebook import Rulebook

PIECES = [
    *("Write a poem about the sea. ", "a", " ", "\n", "\n\n ", ". ", "? ", "1. ", "- ", "I ", "世"),
    *("“", '"', "`", "```", "[", "[name ", "<name>", "<a", "{{", "(", "#", "###\n", "a: b\n", "é"),
    # What the rules look for, so that they cannot pass over it.
    "I can say, as an air pilot [1] is able to, that it won't be an answer <b>here</b>. ",
    *("I can ", "x = 1\n", "Input: 1\n", "世a ", "don't "),
    # No line occurs twice.
    *("{n}\n", "Input: {n}\n", "a{n} ", "世{n} ", "Name bird {n}.\n", "- Name bird {n} of nine.\n"),
    *("Output: 1\n", "Output: 1\n\n", "Input: {n}\nOutput: {n}\n"),
]
# With more, a text is one of many candidates.
MANY = 100
KINDS = ("list", "task", "answer", "input", "instances")
PLACE, TASK = "r00002-p000", "r00002-p000-i00"
POOL = [(f"seed:{n}", f"Write a poem about harbour number {n} at dawn.") for n in range(175)]
LIST = Reading(Form.LIST, first_number=9, continues=True)


def completion(stage: Stage, about: str, reading: Reading, text: str) -> Completion:
    parents = tuple(id for id, _ in POOL[:8]) if stage is Stage.PROPOSE else ()
    request = Request(
        f"{about}-{stage}", about, stage, reading, "", SamplingConfig(), parents=parents
    )
    return Completion(request, text, (), None, (), (), "stop", 1)


def judging(version: int, kind: str, text: str, prompts: PromptLibrary) -> Callable[[], Verdicts]:
    """Return what judges one round: a proposal, and for an answer or input what follows from it."""
    config = build_config({}, "bench").model_copy(update={"rules_version": version})
    proposal = {"list": text, "task": f" Write about {text}."}.get(kind, " Name three sea birds.")
    asked = [completion(Stage.PROPOSE, PLACE, LIST, proposal)]
    pairs = {
        "answer": f"Output: It is {text}",
        "input": f"Input: a tern{text}\nOutput: It is.",
        "instances": text,
    }
    if kind in pairs:
        asked += [
            completion(Stage.CLASSIFY, TASK, Reading(Form.LABEL), " No"),
            completion(Stage.INSTANCES, TASK, Reading(Form.INPUT_FIRST), pairs[kind]),
        ]
    standards = first_standards(POOL, config, {})
    standards.index.nearest("Name a bird.", 0.5)  # the pool is taken in
    return partial(verdicts_of_round, asked, 2, Rulebook(config, prompts), standards, room=9)


def repeated(piece: str, characters: int) -> str:
    """Return a text of so many characters, or nearly."""
    if "{n}" not in piece:
        return piece * (characters // len(piece))
    times = characters // (len(piece) + 2 * piece.count("{n}"))
    return "".join(piece.replace("{n}", str(n)) for n in range(times))


def measured(
    version: int, kind: str, text: str, prompts: PromptLibrary, repeats: int
) -> tuple[float, int]:
    """Return the least processor seconds of some repeats, and the number of candidates."""
    seconds, candidates = [], 0
    for _ in range(repeats):
        judge = judging(version, kind, text, prompts)
        started = time.process_time()
        verdicts = judge()
        seconds.append(time.process_time() - started)
        candidates = len(verdicts.instructions) + len(verdicts.instances)
    return min(seconds), candidates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--characters", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--piece", action="append", type=ast.literal_eval, help="such as 'x\\n'")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this one")
    parser.add_argument("--rules", type=int, action="append", help="only this version")
    options = parser.parse_args()
    prompts = load_prompts()
    rows = []
    for version in options.rules or range(1, RULES_VERSION + 1):
        for kind in options.kind or KINDS:
            measured(version, kind, "a few words", prompts, 1)  # compiled, and cached
            for piece in options.piece or PIECES:
                text = repeated(piece, options.characters)
                row = measured(version, kind, text, prompts, options.repeats)
                rows.append((*row, version, kind, piece))
    print("| seconds | candidates | rules | in | repeated |\n|---:|---:|---:|---|---|")
    for seconds, candidates, version, kind, piece in sorted(rows):
        print(f"| {seconds:.3f} | {candidates} | {version} | {kind} | `{piece!r}` |")
    for name, group in (
        ("few", [row for row in rows if row[1] <= MANY]),
        ("many", [row for row in rows if row[1] > MANY]),
    ):
        within = sum(row[0] < 0.2 for row in group)
        print(f"\n{name} candidates: {within} of {len(group)} within 0.2 s")


if __name__ == "__main__":
    main()
